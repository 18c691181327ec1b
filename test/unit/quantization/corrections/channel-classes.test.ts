import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../../../src/onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../../../src/onnx/model.ts';
import { encodeOnnx } from '../../../../src/onnx/writer.ts';
import { findChannelClasses } from '../../../../src/quantization/corrections/channel-classes.ts';
import type { ChannelRanges } from '../../../../src/quantization/corrections/equalization.ts';
import { applyEqualization } from '../../../../src/quantization/corrections/equalization.ts';
import { chooseEqualization } from '../../../../src/quantization/corrections/choose-equalization.ts';
import { normalValues, run, smallModel } from '../../../support/quantize-one.ts';

const SIZE = 5;
const INPUT = [1, 2, SIZE, SIZE];

const conv = (name: string, input: string): NodeSpec => ({
  opType: 'Conv',
  name,
  inputs: [input, `${name}_w`, `${name}_b`],
  outputs: [name],
});
const of = (opType: string, name: string, ...inputs: string[]): NodeSpec => ({
  opType,
  name,
  inputs,
  outputs: [name],
});

function tensorsOf(layers: Record<string, [outputs: number, inputs: number]>) {
  return Object.entries(layers).flatMap(([name, [outputs, inputs]]) => [
    makeTensor(`${name}_w`, [outputs, inputs, 1, 1], normalValues(name, outputs * inputs)),
    makeTensor(`${name}_b`, [outputs], normalValues(`${name} bias`, outputs, 0.3)),
  ]);
}

/** stem → + branch → Relu → + branch → Relu → head: a stream that two branches read and add to. */
function residual(last: NodeSpec[] = [conv('head', 'r2')]): OnnxModel {
  return smallModel({
    input: INPUT,
    output: last.at(-1)!.outputs[0]!,
    nodes: [
      conv('stem', 'input'),
      of('Relu', 'r0', 'stem'),
      conv('b1', 'r0'),
      of('Add', 'sum1', 'r0', 'b1'),
      of('Relu', 'r1', 'sum1'),
      conv('b2', 'r1'),
      of('Add', 'sum2', 'b2', 'r1'),
      of('Relu', 'r2', 'sum2'),
      ...last,
    ],
    tensors: tensorsOf({ stem: [3, 2], b1: [3, 3], b2: [3, 3], head: [2, 3] }),
  });
}

/** Two branches side by side, pooled, then read by one layer and, in part, by another. */
function joined(): OnnxModel {
  return smallModel({
    input: INPUT,
    output: 'head',
    nodes: [
      conv('left', 'input'),
      conv('right', 'input'),
      of('Relu', 'rl', 'left'),
      of('Relu', 'rr', 'right'),
      { ...of('Concat', 'both', 'rl', 'rr'), attributes: { axis: 1 } },
      of('GlobalAveragePool', 'pooled', 'both'),
      conv('side', 'rr'),
      of('GlobalAveragePool', 'pooledSide', 'side'),
      conv('head0', 'pooled'),
      of('Add', 'head', 'head0', 'pooledSide'),
    ],
    tensors: tensorsOf({ left: [1, 2], right: [2, 2], side: [2, 2], head0: [2, 3] }),
  });
}

const rangeOf = (...max: number[]): ChannelRanges => ({
  min: new Float64Array(max.length),
  max: Float64Array.from(max),
});

async function sameFunction(model: OnnxModel, changes: { tensor: string; scales: number[] }[]) {
  const changed = cloneModel(model);
  applyEqualization(graphOf(changed), changes);
  const input = normalValues('classes', 2 * SIZE ** 2);
  const [output = ''] = graphOf(model).output.map(({ name }) => name);
  const before = (await run(encodeOnnx(model), model, input, 'disabled'))[output]!;
  const after = (await run(encodeOnnx(changed), changed, input, 'disabled'))[output]!;
  const largest = Math.max(...before.map(Math.abs));
  assert.ok(largest > 0.1);
  before.forEach((value, i) => assert.ok(Math.abs(value - after[i]!) < 1e-5 * largest));
  return changed;
}

test('all that is added to a stream shares its classes, and keeps its function scaled', async () => {
  const model = residual();
  const classes = findChannelClasses(graphOf(model));
  const stream = classes.tensors.get('r2')!;
  for (const tensor of ['stem', 'r0', 'b1', 'sum1', 'r1', 'b2', 'sum2']) {
    assert.deepEqual(classes.tensors.get(tensor), stream, tensor);
    assert.equal(classes.groupOf(tensor), classes.groupOf('r2'));
  }
  assert.notDeepEqual(classes.tensors.get('head'), stream);
  assert.deepEqual([...stream].map(classes.isFixed), [false, false, false]);
  assert.ok([...classes.tensors.get('head')!].every(classes.isFixed), 'the graph output');
  // What only a Relu reads has no codes of its own.
  assert.deepEqual(classes.activations, ['r0', 'b1', 'r1', 'b2', 'r2', 'head']);
  const scales = [2, 0.25, 8];
  await sameFunction(
    model,
    ['stem', 'b1', 'b2'].map((tensor) => ({ tensor, scales })),
  );
});

test('scales that an Add cannot follow are refused', () => {
  const scales = [2, 1, 1];
  for (const tensors of [['stem'], ['stem', 'b1'], ['head']]) {
    const graph = graphOf(residual());
    const changes = tensors.map((tensor) => ({ tensor, scales }));
    assert.throws(() => applyEqualization(graph, changes), { code: 'quantization/other-model' });
  }
});

test('what a Sigmoid reads too stays as it is', () => {
  const model = residual([
    conv('head0', 'r2'),
    of('Sigmoid', 'gate', 'r1'),
    of('Mul', 'head', 'head0', 'gate'),
  ]);
  const classes = findChannelClasses(graphOf(model));
  assert.ok([...classes.tensors.get('stem')!].every(classes.isFixed));
});

test('channels of a Concat are scaled where they come from', async () => {
  const model = joined();
  const graph = graphOf(model);
  const classes = findChannelClasses(graph);
  const [left, ...right] = classes.tensors.get('both')!;
  assert.deepEqual([...classes.tensors.get('rl')!], [left]);
  assert.deepEqual([...classes.tensors.get('rr')!], right);
  // Ranges 1 | 8, 2 of the branches; of both together 8 is the widest.
  const ranges = new Map([
    ['rl', rangeOf(1)],
    ['rr', rangeOf(8, 2)],
    ['both', rangeOf(1, 8, 2)],
  ]);
  const changes = chooseEqualization(
    { graph, pairs: [], classes, ranges },
    { method: 'activations', margin: 1 },
  );
  // √ of the geometric means of (1, 8), (1, 1) and (4, 4).
  const [ofLeft, ofRight] = changes.map(({ scales }) => scales);
  assert.deepEqual(
    changes.map(({ tensor }) => tensor),
    ['left', 'right'],
  );
  assert.ok(Math.abs(ofLeft![0]! - 8 ** 0.25) < 1e-12);
  assert.equal(ofRight![0], 1);
  assert.ok(Math.abs(ofRight![1]! - 2) < 1e-12);
  await sameFunction(model, changes);
});

test('a Clip of any activation bounds the scale of its class', () => {
  const model = residual();
  const graph = graphOf(model);
  const clip = graph.node.find(({ name }) => name === 'r1')!;
  clip.opType = 'Clip';
  clip.input.push('zero', 'six');
  graph.initializer.push(
    makeTensor('zero', [], Float32Array.of(0)),
    makeTensor('six', [], Float32Array.of(6)),
  );
  const ranges = new Map([
    ['r0', rangeOf(1, 1, 64)],
    ['r1', rangeOf(4, 6, 5)],
    ['r2', rangeOf(1, 1, 64)],
  ]);
  const classes = findChannelClasses(graph);
  const [change] = chooseEqualization(
    { graph, pairs: [], classes, ranges },
    { method: 'activations', margin: 1 },
  );
  // 6 / 4 at most for the first; the second reaches the bound; the third needs nothing.
  assert.deepEqual(change!.scales.slice(0, 2), [1.5, 1]);
});

test('a layer may have more channels than a call takes arguments', () => {
  const channels = 200_000;
  const model = smallModel({
    input: INPUT,
    output: 'wide',
    nodes: [conv('stem', 'input'), of('Relu', 'rectified', 'stem'), conv('wide', 'rectified')],
    tensors: [
      ...tensorsOf({ stem: [channels, 2] }),
      makeTensor('wide_w', [1, channels, 1, 1], new Float32Array(channels)),
      makeTensor('wide_b', [1], new Float32Array(1)),
    ],
  });
  const classes = findChannelClasses(graphOf(model));
  assert.equal(classes.tensors.get('rectified')?.length, channels);
  assert.ok(classes.isMixed(classes.tensors.get('rectified')![channels - 1]!));
});
