import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor } from '../../src/onnx/build.ts';
import { dequantizeLinear, quantizeLinear } from '../../src/quantization/linear.ts';
import { quantizeBias } from '../../src/quantization/weights.ts';
import type { QuantizedLayer, QuantizationPlan } from '../../src/quantization/quantization-plan.ts';
import {
  integerAdd,
  integerConv,
  integerGemm,
  integerGlobalAverage,
  type IntegerTensor,
} from '../support/integer-reference.ts';
import { normalValues, quantizeOne, smallModel } from '../support/quantize-one.ts';

const parametersOf = (plan: QuantizationPlan, tensor: string) => plan.activations.get(tensor)!;

function biasOf(layer: QuantizedLayer, plan: QuantizationPlan): Int32Array {
  const { scale } = parametersOf(plan, layer.inputTensor);
  return quantizeBias(layer.bias, layer.weight.scales, scale).codes;
}

function inputCodes(plan: QuantizationPlan, values: Float32Array, dims: number[]): IntegerTensor {
  const parameters = parametersOf(plan, 'input');
  return { codes: quantizeLinear(values, parameters), dims, parameters };
}

/** Both are in float; they may differ by one code of the output. */
function assertWithinOneCode(actual: Float32Array, expected: Float32Array, scale: number): void {
  assert.equal(actual.length, expected.length);
  const worst = actual.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - expected[i]!)),
    0,
  );
  assert.ok(worst <= scale * 1.001, `differs by ${worst / scale} codes`);
}

const CONVOLUTIONS = [
  { group: 1, granularity: 'per-channel', target: 'vnni' },
  { group: 16, granularity: 'per-channel', target: 'vnni' },
  { group: 4, granularity: 'per-tensor', target: 'vnni' },
  { group: 1, granularity: 'per-channel', target: 'avx2' },
  { group: 16, granularity: 'per-channel', target: 'avx2' },
  { group: 4, granularity: 'per-tensor', target: 'avx2' },
  { group: 1, granularity: 'per-channel', target: 'portable' },
] as const;

for (const { group, granularity, target } of CONVOLUTIONS) {
  test(`Conv with ${group} group(s), ${granularity}, ${target} equals integer arithmetic`, async (t) => {
    const dims = [2, 16, 7, 6];
    const weightDims = [16, 16 / group, 3, 3];
    const weightCount = 16 * (16 / group) * 9;
    const model = smallModel({
      input: dims,
      output: 'y',
      nodes: [
        {
          opType: 'Conv',
          name: 'conv',
          inputs: ['input', 'w', 'b'],
          outputs: ['y'],
          attributes: { group, strides: [2, 1], pads: [1, 0, 2, 1] },
        },
      ],
      tensors: [
        makeTensor('w', weightDims, normalValues('w', weightCount, 0.2)),
        makeTensor('b', [16], normalValues('b', 16)),
      ],
    });
    const values = normalValues('input', 2 * 16 * 7 * 6);
    const { plan, fused } = await quantizeOne(t, model, values, { granularity, target });
    const layer = plan.layers[0]!;
    const largest = Math.max(...layer.weight.codes.map(Math.abs));
    if (target === 'avx2') assert.ok(largest > 64, `${largest}`);
    else assert.equal(largest, target === 'portable' ? 64 : 127);
    assert.equal(layer.weight.scales.length, granularity === 'per-channel' ? 16 : 1);
    const output = parametersOf(plan, 'y');
    const codes = integerConv({
      input: inputCodes(plan, values, dims),
      weights: layer.weight.codes,
      weightDims,
      weightScales: layer.weight.scales,
      bias: biasOf(layer, plan),
      strides: [2, 1],
      pads: [1, 0, 2, 1],
      group,
      output,
    });
    assertWithinOneCode(fused['y']!, dequantizeLinear(codes, output), output.scale);
  });
}

test('the last Gemm equals integer arithmetic and keeps float logits', async (t) => {
  const model = smallModel({
    input: [3, 20],
    output: 'y',
    nodes: [
      {
        opType: 'Gemm',
        name: 'gemm',
        inputs: ['input', 'w', 'b'],
        outputs: ['y'],
        attributes: { transB: 1 },
      },
    ],
    tensors: [
      makeTensor('w', [4, 20], normalValues('w', 80)),
      makeTensor('b', [4], normalValues('b', 4)),
    ],
  });
  const values = normalValues('input', 60);
  const { plan, fused } = await quantizeOne(t, model, values);
  const layer = plan.layers[0]!;
  assert.equal(plan.activations.has('y'), false);
  const expected = integerGemm({
    input: inputCodes(plan, values, [3, 20]),
    weights: layer.weight.codes,
    weightScales: layer.weight.scales,
    bias: biasOf(layer, plan),
  });
  for (const [i, value] of fused['y']!.entries()) {
    assert.ok(Math.abs(value - expected[i]!) < 1e-4, `${value} ${expected[i]}`);
  }
});

test('Add and GlobalAveragePool equal integer arithmetic', async (t) => {
  const dims = [1, 16, 4, 4];
  const pool = { opType: 'GlobalAveragePool', name: 'pool', inputs: ['s'], outputs: ['y'] };
  const identityWeights = Float32Array.from({ length: 256 }, (_, i) => (i % 17 === 0 ? 1 : 0));
  const model = smallModel({
    input: dims,
    output: 'y',
    nodes: [
      { opType: 'Conv', name: 'a', inputs: ['input', 'w'], outputs: ['a'] },
      { opType: 'Add', name: 's', inputs: ['a', 'input'], outputs: ['s'] },
      pool,
    ],
    tensors: [makeTensor('w', [16, 16, 1, 1], identityWeights)],
  });
  const values = normalValues('input', 256);
  const { plan, fused } = await quantizeOne(t, model, values);
  const input = inputCodes(plan, values, dims);
  // The convolution is the identity with the parameters of its input, so its codes are the input's.
  const sum = parametersOf(plan, 's');
  const codes = integerAdd(input, input, sum);
  const output = parametersOf(plan, 'y');
  const mean = integerGlobalAverage({ codes, dims, parameters: sum }, output);
  assertWithinOneCode(fused['y']!, dequantizeLinear(mean, output), output.scale);
});

test('our codes are the codes of onnxruntime, halves and all', async (t) => {
  // An identity Conv: its output has the parameters of its input, so codes go through unchanged.
  const model = smallModel({
    input: [1, 1, 1, 512],
    output: 'y',
    nodes: [
      {
        opType: 'MaxPool',
        name: 'y',
        inputs: ['c'],
        outputs: ['y'],
        attributes: { kernel_shape: [1, 1] },
      },
      { opType: 'Conv', name: 'c', inputs: ['input', 'w'], outputs: ['c'] },
    ].reverse(),
    tensors: [makeTensor('w', [1, 1, 1, 1], Float32Array.of(1))],
  });
  // Steps of half a code of a range from -127.5 to 127.5.
  const values = Float32Array.from({ length: 512 }, (_, i) => Math.min((i - 255) / 2, 127.5));
  const { plan, unfused } = await quantizeOne(t, model, values);
  const parameters = parametersOf(plan, 'input');
  const expected = dequantizeLinear(quantizeLinear(values, parameters), parameters);
  assertWithinOneCode(unfused['y']!, expected, 0.001);
});

test('the padded first convolution gives the same bits', async (t) => {
  const build = () =>
    smallModel({
      input: [1, 3, 12, 12],
      output: 'y',
      nodes: [
        {
          opType: 'Conv',
          name: 'conv',
          inputs: ['input', 'w', 'b'],
          outputs: ['c'],
          attributes: { strides: [2, 2], pads: [1, 1, 1, 1] },
        },
        { opType: 'Relu', name: 'relu', inputs: ['c'], outputs: ['y'] },
      ],
      tensors: [
        makeTensor('w', [16, 3, 3, 3], normalValues('w', 432)),
        makeTensor('b', [16], normalValues('b', 16)),
      ],
    });
  const values = normalValues('input', 432);
  // For avx2 other weights meet once there are four channels.
  const target = 'portable';
  const plain = await quantizeOne(t, build(), values, { target });
  const padded = await quantizeOne(t, build(), values, { target, firstConvolution: 'pad' });
  assert.ok((padded.optimized.operators['Pad'] ?? 0) === 1);
  assert.deepEqual(padded.optimized.floatNodes, []);
  assert.deepEqual(padded.fused['y'], plain.fused['y']);
});
