import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../../../src/onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../../../src/onnx/model.ts';
import { indexGraph } from '../../../../src/onnx/graph-edit.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { findChannelClasses } from '../../../../src/quantization/corrections/channel-classes.ts';
import { chooseEqualization } from '../../../../src/quantization/corrections/choose-equalization.ts';
import {
  applyEqualization,
  type ChannelChange,
  type ChannelRanges,
} from '../../../../src/quantization/corrections/equalization.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import { readBoundsOf } from '../../../../src/quantization/read-bounds.ts';
import { normalValues, run, smallModel } from '../../../support/quantize-one.ts';

const SIZE = 6;
const of = (opType: string, name: string, ...inputs: string[]): NodeSpec => ({
  opType,
  name,
  inputs,
  outputs: [name],
});
const conv = (name: string, input: string, group = 1): NodeSpec => ({
  ...of('Conv', name, input, `${name}_w`, `${name}_b`),
  attributes: { group },
});
const weights = (name: string, outputs: number, inputs: number) => [
  makeTensor(`${name}_w`, [outputs, inputs, 1, 1], normalValues(name, outputs * inputs)),
  makeTensor(`${name}_b`, [outputs], normalValues(`${name} bias`, outputs, 0.3)),
];

/** first → HardSwish → depthwise → head; values well beyond ±3, where HardSwish bends. */
function hardSwish(): OnnxModel {
  return prepareModel(
    smallModel({
      input: [1, 2, SIZE, SIZE],
      output: 'head',
      nodes: [
        conv('first', 'input'),
        of('HardSwish', 'swish', 'first'),
        conv('depthwise', 'swish', 3),
        conv('head', 'depthwise'),
      ],
      tensors: [
        makeTensor('first_w', [3, 2, 1, 1], normalValues('first', 6, 3)),
        makeTensor('first_b', [3], Float32Array.of(1, -1, 0)),
        ...weights('depthwise', 3, 1),
        ...weights('head', 2, 3),
      ],
    }),
  );
}

/** Relu → x · Sigmoid of a layer over its mean → head. */
function squeezeAndExcite(): OnnxModel {
  return prepareModel(
    smallModel({
      input: [1, 2, SIZE, SIZE],
      output: 'head',
      nodes: [
        conv('first', 'input'),
        of('Relu', 'rectified', 'first'),
        of('GlobalAveragePool', 'mean', 'rectified'),
        conv('squeeze', 'mean'),
        of('Sigmoid', 'gate', 'squeeze'),
        of('Mul', 'excited', 'rectified', 'gate'),
        conv('head', 'excited'),
      ],
      tensors: [...weights('first', 3, 2), ...weights('squeeze', 3, 3), ...weights('head', 2, 3)],
    }),
  );
}

async function changed(model: OnnxModel, changes: readonly ChannelChange[]): Promise<OnnxModel> {
  const copy = cloneModel(model);
  applyEqualization(graphOf(copy), changes);
  const input = normalValues('gated', 2 * SIZE ** 2);
  const before = (await run(encodeOnnx(model), model, input, 'disabled'))['head']!;
  const after = (await run(encodeOnnx(copy), copy, input, 'disabled'))['head']!;
  const largest = Math.max(...before.map(Math.abs));
  assert.ok(largest > 0.1);
  before.forEach((value, i) => assert.ok(Math.abs(value - after[i]!) < 1e-5 * largest));
  return copy;
}

const leastRead = (model: OnnxModel, tensor: string): number =>
  readBoundsOf(tensor, indexGraph(graphOf(model))).low;

test('a HardSwish follows the scales of its channels, and its gate takes them back', async () => {
  const model = hardSwish();
  const classes = findChannelClasses(graphOf(model));
  assert.deepEqual(classes.tensors.get('first'), classes.tensors.get('swish_product'));
  assert.equal(classes.leastOf('first'), -3);
  assert.equal(leastRead(model, 'first'), -3);
  const copy = await changed(model, [{ tensor: 'first', scales: [1, 16, 0.5] }]);
  const gate = graphOf(copy).node.find(({ name }) => name.endsWith('/shifted'));
  assert.equal(gate?.opType, 'Conv');
  // -3 is where the gate closes: of the channel that was scaled by 16 at -48.
  assert.equal(leastRead(copy, 'first'), -48);
  const plain = await changed(model, [{ tensor: 'depthwise', scales: [2, 2, 4] }]);
  assert.deepEqual(
    graphOf(plain).node.map(({ opType }) => opType),
    graphOf(model).node.map(({ opType }) => opType),
  );
});

function scalesFor(model: OnnxModel, max: readonly number[]): readonly number[] | undefined {
  const graph = graphOf(model);
  const range: ChannelRanges = {
    min: Float64Array.from(max, (value) => -value),
    max: Float64Array.from(max),
  };
  const product: ChannelRanges = { min: new Float64Array(3), max: Float64Array.from(max) };
  const ranges = new Map([
    ['first', range],
    ['swish_product', product],
  ]);
  const classes = findChannelClasses(graph);
  const targets = { graph, pairs: [], classes, ranges };
  return chooseEqualization(targets, { method: 'activations', margin: 1 })[0]?.scales;
}

test('channels behind a HardSwish are scaled where they lie far apart', () => {
  // 96 / 2 and 96 / 6 for both tensors, read channel by channel; the first counts down to -2 in the range.
  const scales = scalesFor(hardSwish(), [96, 2, 6])!;
  [1, 48, 16].forEach((expected, c) => assert.ok(Math.abs(scales[c]! - expected) < 1e-9));
  // What is below -3 tells nothing: of a channel down to -24 only that much counts.
  const graph = graphOf(hardSwish());
  const classes = findChannelClasses(graph);
  const ranges = new Map<string, ChannelRanges>([
    ['first', { min: Float64Array.of(0, -24, 0), max: Float64Array.of(96, 1, 12) }],
    ['swish_product', { min: new Float64Array(3), max: Float64Array.of(96, 1, 12) }],
  ]);
  const targets = { graph, pairs: [], classes, ranges };
  const [change] = chooseEqualization(targets, { method: 'activations', margin: 1 });
  // The geometric mean of 96 / 3 and 96 / 1, at most 96 / 3, where the gate closes at the other end of the range.
  assert.ok(Math.abs(change!.scales[1]! - 32) < 1e-9);
});

test('channels behind a HardSwish that lie near one another stay, for the sake of its cheaper form', () => {
  // 20 log10 of (1 · 2 · 2) a third each is 4 dB.
  assert.equal(scalesFor(hardSwish(), [8, 4, 4]), undefined);
});

test('a gate that is computed of the channels lets their scales through', async () => {
  const model = squeezeAndExcite();
  const classes = findChannelClasses(graphOf(model));
  assert.deepEqual(classes.tensors.get('excited'), classes.tensors.get('first'));
  assert.ok([...classes.tensors.get('squeeze')!].every(classes.isFixed), 'read by a Sigmoid');
  assert.ok(![...classes.tensors.get('first')!].some(classes.isFixed));
  await changed(model, [{ tensor: 'first', scales: [4, 0.5, 8] }]);
});

test('a product of two whose channels are known takes no scales', () => {
  const model = smallModel({
    input: [1, 2, SIZE, SIZE],
    output: 'head',
    nodes: [
      conv('left', 'input'),
      conv('right', 'input'),
      of('Mul', 'product', 'left', 'right'),
      conv('head', 'product'),
    ],
    tensors: [...weights('left', 3, 2), ...weights('right', 3, 2), ...weights('head', 2, 3)],
  });
  const classes = findChannelClasses(graphOf(model));
  for (const tensor of ['left', 'right']) {
    assert.ok([...classes.tensors.get(tensor)!].every(classes.isFixed), tensor);
    const changes = [{ tensor, scales: [2, 1, 1] }];
    assert.throws(() => applyEqualization(graphOf(cloneModel(model)), changes), {
      code: 'quantization/other-model',
    });
  }
});

test('a HardSwish behind a Gemm stays as it is', () => {
  const gemm = (name: string, input: string): NodeSpec => ({
    ...of('Gemm', name, input, `${name}_w`, `${name}_b`),
    attributes: { transB: 1 },
  });
  const dense = (name: string, outputs: number, inputs: number) => [
    makeTensor(`${name}_w`, [outputs, inputs], normalValues(name, outputs * inputs)),
    makeTensor(`${name}_b`, [outputs], normalValues(`${name} bias`, outputs)),
  ];
  const model = prepareModel(
    smallModel({
      input: [1, 4],
      output: 'head',
      nodes: [gemm('first', 'input'), of('HardSwish', 'swish', 'first'), gemm('head', 'swish')],
      tensors: [...dense('first', 3, 4), ...dense('head', 2, 3)],
    }),
  );
  const classes = findChannelClasses(graphOf(model));
  assert.ok([...classes.tensors.get('first')!].every(classes.isFixed));
});
