import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import { normalValues, quantizeOne, smallModel } from '../support/quantize-one.ts';

const node = (opType: string, inputs: readonly string[], output: string): NodeSpec => ({
  opType,
  name: output,
  inputs,
  outputs: [output],
});

/** Weights [8, 8, 1, 1] of which one output channel is 200 times the others: one scale is too few. */
function unevenWeights() {
  const values = normalValues('uneven', 64, 0.3);
  for (let i = 0; i < 8; i += 1) values[i]! *= 200; // 64 values
  return makeTensor('w2', [8, 8, 1, 1], values);
}

for (const activation of ['none', 'Relu']) {
  test(`a layer left in float runs in float (activation ${activation})`, async (t) => {
    const model = smallModel({
      input: [1, 8, 6, 6],
      output: 'y',
      nodes: [
        node('Conv', ['input', 'w1', 'b'], 'c1'),
        node('Conv', ['c1', 'w2', 'b'], 'c2'),
        ...(activation === 'none' ? [] : [node(activation, ['c2'], 'a')]),
        node('Conv', [activation === 'none' ? 'c2' : 'a', 'w3', 'b'], 'y'),
      ],
      tensors: [
        makeTensor('w1', [8, 8, 1, 1], normalValues('w1', 64, 0.3)),
        unevenWeights(),
        // The large channel is not read, so the output is what the small ones are.
        makeTensor(
          'w3',
          [8, 8, 1, 1],
          normalValues('w3', 64).map((value, i) => (i % 8 === 0 ? value / 200 : value)),
        ),
        makeTensor('b', [8], new Float32Array(8)),
      ],
    });
    const input = normalValues('input', 8 * 36);
    const result = await quantizeOne(t, model, input, { excluded: new Set(['c2']) });
    // Two of the three layers run in integers, and onnxruntime has quantized no third by itself.
    assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2);
    const noise = createSqnrAccumulator();
    noise.add(result.unfused['y']!, result.fused['y']!);
    assert.ok((noise.finishDb() ?? Infinity) > 40, String(noise.finishDb()));
    const reasons = result.optimized.floatNodes.map(({ operator, reason }) => [operator, reason]);
    assert.ok(
      reasons.some(([operator, reason]) => operator === 'Max' && reason!.startsWith('keeps')),
      JSON.stringify(reasons),
    );
  });
}

test('a GELU between layers in integers is one operator in float', async (t) => {
  const model = smallModel({
    input: [1, 8, 6, 6],
    output: 'y',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      node('Mul', ['c1', 'narrow'], 's'),
      node('Erf', ['s'], 'e'),
      node('Add', ['e', 'one'], 'a'),
      node('Mul', ['c1', 'a'], 'm'),
      node('Mul', ['m', 'half'], 'g'),
      node('Conv', ['g', 'w2'], 'y'),
    ],
    tensors: [
      makeTensor('w1', [8, 8, 1, 1], normalValues('w1', 64, 0.3)),
      makeTensor('w2', [8, 8, 1, 1], normalValues('w2', 64, 0.3)),
      makeTensor('narrow', [], Float32Array.of(Math.SQRT1_2)),
      makeTensor('one', [], Float32Array.of(1)),
      makeTensor('half', [], Float32Array.of(0.5)),
    ],
  });
  const result = await quantizeOne(t, model, normalValues('input', 8 * 36));
  assert.equal(result.optimized.operators['com.microsoft.QLinearConv'], 2);
  assert.equal(result.optimized.operators['com.microsoft.Gelu'], 1);
  assert.deepEqual(
    result.optimized.floatNodes.map(({ node, operator, reason }) => [node, operator, reason]),
    [
      [
        'c1_dequantized/keep-gelu',
        'Max',
        'hands its input to both ends of a GELU, so that onnxruntime runs that as one operator',
      ],
      ['g', 'Gelu', 'it is part of a GELU, which onnxruntime runs as one float operator'],
    ],
  );
  const noise = createSqnrAccumulator();
  noise.add(result.float['y']!, result.fused['y']!);
  assert.ok((noise.finishDb() ?? Infinity) > 35, String(noise.finishDb()));
});
