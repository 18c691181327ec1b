import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { chooseRange } from '../../../src/quantization/choose-range.ts';
import { derivationsOf, withDerived } from '../../../src/quantization/derived-tensors.ts';
import { createHistogramObserver } from '../../../src/quantization/observers/histogram.ts';
import type { ObserverState } from '../../../src/quantization/observers/observer.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { allTensors, normalValues, smallModel } from '../../support/quantize-one.ts';

const SIZE = 24;
const IMAGE_COUNT = 3;

const of = (opType: string, output: string, ...inputs: string[]): NodeSpec => ({
  opType,
  name: output,
  inputs,
  outputs: [output],
});

/** A SiLU, a hard sigmoid, and tensors of other sizes and ranges joined twice. */
function network(): OnnxModel {
  const conv = (output: string, input: string): NodeSpec =>
    of('Conv', output, input, `${output}_w`);
  const weights = (name: string, outputs: number, inputs: number, deviation: number) =>
    makeTensor(
      `${name}_w`,
      [outputs, inputs, 1, 1],
      normalValues(name, outputs * inputs, deviation),
    );
  return smallModel({
    input: [1, 2, SIZE, SIZE],
    output: 'end',
    nodes: [
      conv('a', 'input'),
      of('Sigmoid', 'gate', 'a'),
      of('Mul', 'silu', 'a', 'gate'),
      conv('b', 'silu'),
      { ...of('HardSigmoid', 'hard', 'b'), attributes: {} },
      { ...of('Concat', 'joined', 'b', 'silu'), attributes: { axis: 1 } },
      { ...of('Concat', 'again', 'joined', 'hard'), attributes: { axis: 1 } },
      { ...of('Transpose', 'turned', 'again'), attributes: { perm: [0, 1, 3, 2] } },
      of('Relu', 'end', 'turned'),
    ],
    tensors: [weights('a', 6, 2, 2), weights('b', 2, 6, 5)],
  });
}

async function states(model: OnnxModel): Promise<Map<string, ObserverState>> {
  const observers = new Map<string, ReturnType<typeof createHistogramObserver>>();
  for (let image = 0; image < IMAGE_COUNT; image += 1) {
    const input = normalValues(`image ${image}`, 2 * SIZE ** 2, 1 + image);
    for (const [tensor, values] of Object.entries(await allTensors(model, input))) {
      const observer = observers.get(tensor) ?? createHistogramObserver(tensor);
      observers.set(tensor, observer);
      observer.observe(values);
    }
  }
  return new Map([...observers].map(([tensor, observer]) => [tensor, observer.finish()]));
}

test('what follows from other tensors is what would have been seen', async () => {
  const model = prepareModel(network());
  const names = ['a', 'gate', 'silu', 'b', 'hard', 'joined', 'again', 'turned'];
  const derivations = derivationsOf(graphOf(model), new Set(names));
  assert.deepEqual(
    [...derivations].map(([name, { kind }]) => `${name} ${kind}`),
    ['gate mapped', 'silu mapped', 'hard mapped', 'joined joined', 'again joined', 'turned same'],
  );
  const seen = await states(model);
  const observed = new Map(['a', 'b'].map((name) => [name, seen.get(name)!]));
  const derived = withDerived(observed, derivations, names);
  assert.deepEqual([...derived.keys()], names);
  for (const name of names) {
    const [actual, expected] = [derived.get(name)!, seen.get(name)!];
    const width = expected.max - expected.min;
    const near = (a: number, b: number, tolerance: number): void =>
      assert.ok(Math.abs(a - b) <= tolerance * width, `${name}: ${a}, ${b}`);
    // The least of x · sigmoid(x) may lie between two values; no value lies below it.
    near(actual.min, expected.min, 1e-3);
    assert.ok(actual.min <= expected.min + 1e-6 * width, name);
    near(actual.max, expected.max, 1e-6);
    for (let image = 0; image < IMAGE_COUNT; image += 1) {
      near(actual.imageMinima[image]!, expected.imageMinima[image]!, 1e-3);
      near(actual.imageMaxima[image]!, expected.imageMaxima[image]!, 1e-6);
    }
    for (const [method, percentile] of [
      ['mse', 100],
      ['percentile', 99],
    ] as const) {
      const [a, b] = [actual, expected].map((state) => chooseRange(state, { method, percentile }));
      near(a!.min, b!.min, 0.02);
      near(a!.max, b!.max, 0.02);
    }
  }
});

test('what some inputs of are not known is looked at', () => {
  const graph = graphOf(prepareModel(network()));
  const derivations = derivationsOf(graph, new Set(['b', 'joined', 'again', 'hard']));
  assert.deepEqual([...derivations.keys()], ['hard', 'again']);
});

test('tensors may be named before those that they derive from', async () => {
  const model = prepareModel(network());
  const names = ['turned', 'again', 'silu', 'gate', 'joined', 'hard', 'b', 'a'];
  const derivations = derivationsOf(graphOf(model), new Set(names));
  const seen = await states(model);
  const observed = new Map(['b', 'a'].map((name) => [name, seen.get(name)!]));
  const derived = withDerived(observed, derivations, names);
  assert.deepEqual([...derived.keys()], names);
  assert.deepEqual(derived.get('turned'), derived.get('again'));
  assert.deepEqual(derived, withDerived(observed, derivations, [...names].reverse()));
});
