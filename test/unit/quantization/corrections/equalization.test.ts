import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { makeTensor, type NodeSpec } from '../../../../src/onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../../../src/onnx/model.ts';
import { readFloats } from '../../../../src/onnx/tensor-data.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { findChannelClasses } from '../../../../src/quantization/corrections/channel-classes.ts';
import { chooseEqualization } from '../../../../src/quantization/corrections/choose-equalization.ts';
import { equalize } from '../../../../src/quantization/corrections/equalize.ts';
import {
  applyEqualization,
  type ChannelChange,
} from '../../../../src/quantization/corrections/equalization.ts';
import { findEqualizationPairs } from '../../../../src/quantization/corrections/equalization-pairs.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import { writeColouredShards } from '../../../support/coloured-shards.ts';
import { normalValues, run, smallModel } from '../../../support/quantize-one.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../../support/tiny-convnet.ts';

/** Gemm 2 → 2, the activation, Gemm 2 → 1. */
function twoLayers(activation: NodeSpec, second = 'second'): OnnxModel {
  return smallModel({
    input: [1, 2],
    output: 'output',
    nodes: [
      { opType: 'Gemm', name: 'first', inputs: ['input', 'w1', 'b1'], outputs: ['c'] },
      activation,
      { opType: 'Gemm', name: second, inputs: ['a', 'w2', 'b2'], outputs: ['output'] },
    ],
    tensors: [
      makeTensor('w1', [2, 2], Float32Array.of(1, 8, 0.5, 4)), // [K, M]: columns are channels
      makeTensor('b1', [2], Float32Array.of(0.5, 1)),
      makeTensor('w2', [2, 1], Float32Array.of(4, 2)),
      makeTensor('b2', [1], Float32Array.of(0)),
      makeTensor('zero', [], Float32Array.of(0)),
      makeTensor('six', [], Float32Array.of(6)),
    ],
  });
}

const RELU: NodeSpec = { opType: 'Relu', name: 'relu', inputs: ['c'], outputs: ['a'] };
const CLIP: NodeSpec = {
  opType: 'Clip',
  name: 'clip',
  inputs: ['c', 'zero', 'six'],
  outputs: ['a'],
};

function choose(
  model: OnnxModel,
  seen: { min: readonly number[]; max: readonly number[] },
  method: 'cross-layer' | 'activations',
  margin = 1.05,
): ChannelChange | undefined {
  const graph = graphOf(model);
  const pairs = findEqualizationPairs(graph);
  assert.equal(pairs.length, 1);
  const range = { min: Float64Array.from(seen.min), max: Float64Array.from(seen.max) };
  const ranges = new Map([[pairs[0]!.activation, range]]);
  const classes = findChannelClasses(graph);
  return chooseEqualization({ graph, pairs, classes, ranges }, { method, margin })[0];
}

function tensorOf(model: OnnxModel, node: number, input: number): number[] {
  const graph = graphOf(model);
  const name = graph.node[node]!.input[input]!;
  return [...readFloats(graph.initializer.find((tensor) => tensor.name === name)!)];
}

test('cross-layer scales are √(r2 / r1), as worked by hand', () => {
  const model = twoLayers(RELU);
  // r1 = 1 and 8, r2 = 4 and 2: scales √4 = 2 and √(1/4) = 1/2; then both layers have 2, 2 and 4, 4.
  const change = choose(model, { min: [0, 0], max: [9, 9] }, 'cross-layer')!;
  assert.deepEqual(change, { tensor: 'c', scales: [2, 0.5] });
  applyEqualization(graphOf(model), [change]);
  assert.deepEqual(tensorOf(model, 0, 1), [2, 4, 1, 2]);
  assert.deepEqual(tensorOf(model, 0, 2), [1, 0.5]);
  assert.deepEqual(tensorOf(model, 2, 1), [2, 4]);
});

test('activation scales bring a channel halfway to the widest one', () => {
  // √(16 / (2 · 2)) = 2 for the first with a margin of 2; the widest keeps its scale.
  const change = choose(twoLayers(RELU), { min: [0, 0], max: [2, 16] }, 'activations', 2);
  assert.deepEqual(change, { tensor: 'c', scales: [2, 1] });
});

test('a Clip bounds the scale; a channel that reaches it is left alone', () => {
  const reach = (max: readonly number[], method: 'cross-layer' | 'activations') =>
    choose(twoLayers(CLIP), { min: [0, 0], max }, method)?.scales;
  assert.deepEqual(reach([4, 6], 'cross-layer'), [6 / (4 * 1.05), 1]); // 2 and 1/2 were wanted
  assert.deepEqual(reach([1, 3], 'cross-layer'), [2, 0.5]);
  assert.equal(reach([6, 6], 'activations'), undefined);
});

test('what every value exceeds moves into the next bias, where a Relu is', () => {
  const model = twoLayers(RELU);
  // Channel 0 lies in [3, 5], so 3 - 5 % of 2 = 2.9 is taken off; channel 1 reaches zero.
  const change = choose(model, { min: [3, 0], max: [5, 5] }, 'activations')!;
  assert.deepEqual(change.shifts, [3 - (1.05 - 1) * 2, 0]);
  applyEqualization(graphOf(model), [change]);
  assert.ok(Math.abs(tensorOf(model, 0, 2)[0]! - (0.5 - 2.9)) < 1e-6);
  assert.ok(Math.abs(tensorOf(model, 2, 2)[0]! - 4 * 2.9) < 1e-5);
});

test('what is read twice, or goes through anything else, is no pair', () => {
  const pairsOf = (model: OnnxModel): number => findEqualizationPairs(graphOf(model)).length;
  assert.equal(pairsOf(twoLayers(RELU)), 1);
  assert.equal(
    pairsOf(twoLayers({ opType: 'Sigmoid', name: 's', inputs: ['c'], outputs: ['a'] })),
    0,
  );
  const readTwice = twoLayers(RELU);
  graphOf(readTwice).node[2]!.input[2] = 'a';
  assert.equal(pairsOf(readTwice), 0);
  const shared = twoLayers(RELU);
  graphOf(shared).node[2]!.input[1] = 'w1';
  assert.equal(pairsOf(shared), 0);
});

test('a table of another model is refused', () => {
  const graph = graphOf(twoLayers(RELU));
  for (const change of [
    { tensor: 'elsewhere', scales: [1, 1] },
    { tensor: 'c', scales: [1] },
  ]) {
    assert.throws(() => applyEqualization(graph, [change]), { code: 'quantization/other-model' });
  }
});

test('arbitrary scales leave the function of conv, depthwise, pool and Gemm as it is', async () => {
  const model = prepareModel(tinyConvnet(1));
  const pairs = findEqualizationPairs(graphOf(model));
  assert.deepEqual(
    pairs.map(({ first, second, connection }) => [first.name, second.name, connection]),
    [
      ['first', 'depthwise', 'by-channel'],
      ['depthwise', 'dense', 'full'],
    ],
  );
  const input = normalValues('equalized', 3 * TINY_SIZE ** 2, 0.3);
  const before = await run(encodeOnnx(model), model, input, 'disabled');
  const equalized = cloneModel(model);
  // The second has a Clip at 6, which is not reached scaled down.
  const changes = pairs.map(({ tensor, high }) => ({
    tensor,
    scales: Array.from({ length: 16 }, (_, c) => 2 ** ((c % 5) - (high === 6 ? 4 : 2))),
  }));
  applyEqualization(graphOf(equalized), changes);
  const after = await run(encodeOnnx(equalized), equalized, input, 'disabled');
  const [reference, actual] = [before['logits']!, after['logits']!];
  assert.ok(reference.every((value, i) => Math.abs(value - actual[i]!) < 1e-4));
});

for (const method of ['cross-layer', 'activations'] as const) {
  test(`${method}: images choose the changes, and the function stays to 1e-5`, async (t) => {
    const { model, changes } = await equalized(t, method);
    assert.ok(changes.length > 0);
    const copy = cloneModel(model);
    applyEqualization(graphOf(copy), changes);
    // Pixels in [0, 1], as those that chose the changes.
    const input = normalValues('other', 3 * TINY_SIZE ** 2, 0.2).map((value) =>
      Math.min(Math.abs(value), 1),
    );
    const before = (await run(encodeOnnx(model), model, input, 'disabled'))['logits']!;
    const after = (await run(encodeOnnx(copy), copy, input, 'disabled'))['logits']!;
    const largest = Math.max(...before.map(Math.abs));
    assert.ok(before.every((value, i) => Math.abs(value - after[i]!) < 1e-5 * largest));
  });
}

async function equalized(t: TestContext, method: 'cross-layer' | 'activations') {
  const folder = await temporaryFolder(t);
  await writeColouredShards(folder, { size: TINY_SIZE, imagesPerClass: { train: 4 } });
  const model = prepareModel(tinyConvnet(1));
  const images = { folder, split: 'train' as const, indices: [0, 1, 2, 3, 4, 5, 6, 7] };
  const shared = { images, batchSize: 1, workerCount: 1, scratchPath: folder };
  return { model, changes: (await equalize({ ...shared, model, method })).changes };
}
