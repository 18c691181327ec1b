import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Normalization } from '../../../src/data/image-shards.ts';
import { FLOAT_NCHW, toNetworkInput } from '../../../src/data/network-input.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { removeAttributes, setIntegers } from '../../../src/onnx/attributes.ts';
import { makeAttribute, makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import { sortNodes } from '../../../src/onnx/graph-edit.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { dimsOf } from '../../../src/onnx/tensor-data.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import type { Target } from '../../../src/quantization/choices.ts';
import { inputFormFor } from '../../../src/quantization/input-form.ts';
import { PRESETS } from '../../../src/quantization/normalization-choice.ts';
import { pixelRounding, pixelRows } from '../../../src/quantization/pixel-head.ts';
import { takePixels } from '../../../src/quantization/pixel-input.ts';
import { openOnnxSession, type OnnxTensor } from '../../../src/runtime/onnx-session.ts';
import { normalValues } from '../../support/quantize-one.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const SETTINGS = {
  granularity: 'per-channel',
  weightRange: 'max',
  firstConvolution: 'pad',
} as const;
const triple = ([r, g, b]: readonly number[]): [number, number, number] => [r!, g!, b!];
const custom = { mean: [0.02, 0.9, 0.31], std: [0.1, 0.3, 1.2] };
const outside = { mean: [-0.1, 1.3, 0.5], std: [0.2, 0.2, 0.2] };
const normalizations: [string, Normalization][] = Object.entries({
  ...PRESETS,
  custom,
  outside,
}).map(([name, { mean, std }]) => [name, { mean: triple(mean), std: triple(std) }]);

/** A network whose first windows are of 7 x 7. */
function largeWindows(): OnnxModel {
  const network = tinyConvnet();
  const graph = graphOf(network);
  graph.initializer[0] = makeTensor('w1', [16, 3, 7, 7], normalValues('w1', 2352, 0.2));
  setIntegers(graph.node[0]!, 'pads', [3, 3, 3, 3]);
  return network;
}

test('a model of pixels computes what the normalized one does, padding included', async (t) => {
  const folder = await temporaryFolder(t);
  const random = createRandom(11, 'pixels');
  const pixelsNhwc = Uint8Array.from({ length: 2 * 3 * TINY_SIZE ** 2 }, () => random.integer(256));
  const outputOf = async (name: string, model: OnnxModel, input: OnnxTensor) => {
    await writeOnnx(join(folder, name), model);
    const session = await openOnnxSession(join(folder, name), { threadCount: 1 });
    const { logits } = await session.run({ input });
    await session.release();
    return logits!.data as Float32Array;
  };
  for (const [name, normalization] of normalizations) {
    const size = { height: TINY_SIZE, width: TINY_SIZE };
    const images = { pixelsNhwc, imageCount: 2, normalization, ...size };
    const float = toNetworkInput(images, FLOAT_NCHW);
    for (const hasThree of [true, false]) {
      const network = hasThree ? largeWindows() : tinyConvnet();
      const expected = await outputOf('float.onnx', network, float);
      const found = takePixels(network, normalization, 'avx2')!;
      const { model, constantCode, pads, isBlocked } = found;
      // Windows that begin at -3, -1, … 11 in blocks that begin at -4, -2, … 16.
      assert.deepEqual([pads, isBlocked], hasThree ? [[4, 4, 2, 2], true] : [null, false]);
      assert.equal(constantCode === null, hasThree);
      const code = constantCode ?? 0;
      assert.ok(code >= 0 && code <= 255, `${name}: ${code}`);
      const actual = await outputOf(`${name}-${String(hasThree)}.onnx`, model, float);
      for (const [i, value] of expected.entries()) {
        assert.ok(Math.abs(actual[i]! - value) < 1e-4 * (1 + Math.abs(value)), `${name} ${i}`);
      }
    }
  }
});

test('of three channels windows that move by one pixel read them one by one, padded or not', async (t) => {
  const folder = await temporaryFolder(t);
  const random = createRandom(13, 'pixels');
  const pixelsNhwc = Uint8Array.from({ length: 3 * TINY_SIZE ** 2 }, () => random.integer(256));
  const [, normalization] = normalizations.find(([name]) => name === 'custom')!;
  const size = { height: TINY_SIZE, width: TINY_SIZE };
  const input = toNetworkInput({ pixelsNhwc, imageCount: 1, normalization, ...size }, FLOAT_NCHW);
  const outputOf = async (model: OnnxModel): Promise<number[]> => {
    await writeOnnx(join(folder, 'model.onnx'), model);
    const session = await openOnnxSession(join(folder, 'model.onnx'), { threadCount: 1 });
    const { logits } = await session.run({ input });
    await session.release();
    return [...(logits!.data as Float32Array)];
  };
  for (const pads of [
    [0, 0, 0, 0],
    [2, 1, 0, 1],
  ]) {
    const network = largeWindows();
    const [first] = graphOf(network).node;
    setIntegers(first!, 'strides', [1, 1]);
    setIntegers(first!, 'pads', pads);
    const found = takePixels(network, normalization, 'avx2')!;
    const isPadded = pads.some((count) => count > 0);
    assert.deepEqual([found.pads, found.isBlocked], [isPadded ? pads : null, false]);
    assert.equal(found.constantCode, null);
    const expected = await outputOf(network);
    for (const [i, value] of (await outputOf(found.model)).entries()) {
      assert.ok(Math.abs(expected[i]! - value) < 1e-4 * (1 + Math.abs(value)), pads.join());
    }
  }
});

for (const layout of ['nchw', 'nhwc'] as const) {
  test(`a normalization inside the model is taken in, ${layout}: one convolution reads pixels`, async (t) => {
    const folder = await temporaryFolder(t);
    const random = createRandom(12, 'pixels');
    const pixelsNhwc = Uint8Array.from({ length: 3 * TINY_SIZE ** 2 }, () => random.integer(256));
    const unit: Normalization = { mean: [0, 0, 0], std: [1, 1, 1] };
    const size = { height: TINY_SIZE, width: TINY_SIZE };
    const input = toNetworkInput(
      { pixelsNhwc, imageCount: 1, normalization: unit, ...size },
      { type: 'float32', layout },
    );
    const outputOf = async (name: string, model: OnnxModel): Promise<number[]> => {
      await writeOnnx(join(folder, name), model);
      const session = await openOnnxSession(join(folder, name), { threadCount: 1 });
      const { logits } = await session.run({ input });
      await session.release();
      return [...(logits!.data as Float32Array)];
    };
    for (const [name, { mean, std }] of normalizations) {
      const inside = tinyConvnet();
      const graph = graphOf(inside);
      for (const node of graph.node) {
        node.input = node.input.map((tensor) => (tensor === 'input' ? 'inside' : tensor));
      }
      const step = (opType: string, from: string, by: string, to: string) =>
        makeNode({ opType, name: to, inputs: [from, by], outputs: [to] });
      const isLast = layout === 'nhwc';
      graph.node.unshift(
        step('Sub', 'input', 'm', 'less'),
        step('Div', 'less', 's', isLast ? 'normalized' : 'inside'),
      );
      graph.initializer.push(
        makeTensor('m', isLast ? [3] : [1, 3, 1, 1], Float32Array.from(mean)),
        makeTensor('s', isLast ? [1, 1, 3] : [3, 1, 1], Float32Array.from(std)),
      );
      if (isLast) {
        const attributes = { perm: [0, 3, 1, 2] };
        const ends = { inputs: ['normalized'], outputs: ['inside'] };
        graph.node.push(makeNode({ opType: 'Transpose', name: 'turn', ...ends, attributes }));
        graph.input = [makeValueInfo('input', [1, TINY_SIZE, TINY_SIZE, 3])];
        sortNodes(graph);
      }
      const expected = await outputOf(`${name}-inside.onnx`, inside);
      const { model, convolution } = takePixels(inside, unit)!;
      assert.equal(graphOf(model).node.filter(({ opType }) => opType === 'Sub').length, 0);
      assert.equal(convolution, takePixels(tinyConvnet(), unit)!.convolution);
      const actual = await outputOf(`${name}-taken.onnx`, model);
      for (const [i, value] of expected.entries()) {
        assert.ok(Math.abs(actual[i]! - value) < 1e-4 * (1 + Math.abs(value)), `${name} ${i}`);
      }
    }
  });
}

test('normalized values of all pixels become the codes they were', () => {
  for (const [name, normalization] of normalizations) {
    const { scales, zeroPoints, shifts } = pixelRounding(normalization);
    const { mean, std } = normalization;
    for (let c = 0; c < 3; c += 1) {
      for (let pixel = 0; pixel < 256; pixel += 1) {
        const normalized = Math.fround((pixel / 255 - mean[c]!) / std[c]!);
        const shifted = Math.fround(normalized + (shifts?.[c] ?? 0));
        const rounded = Math.round(Math.fround(shifted / scales[c]!)) + zeroPoints[c]!;
        const code = Math.min(Math.max(rounded, 0), 255);
        assert.equal(code, pixel, `${name} channel ${c}`);
      }
    }
  }
  // (p - 127.5) / 127.5 lies half way between two codes; ImageNet's means (123.7, 116.3, 103.5) too.
  assert.notEqual(pixelRounding(normalizations.find(([name]) => name === 'tf')![1]).shifts, null);
  assert.equal(pixelRounding(normalizations.find(([name]) => name === 'unit')![1]).shifts, null);
});

test('rows of normalized values become the pixels they were', () => {
  for (const [name, normalization] of normalizations) {
    const { factors, offsets } = pixelRows(normalization, 2);
    const { mean, std } = normalization;
    for (let i = 0; i < 6; i += 1) {
      const c = Math.floor(i / 2); // [3, 1, 2]
      for (let pixel = 0; pixel < 256; pixel += 1) {
        const normalized = Math.fround((pixel / 255 - mean[c]!) / std[c]!);
        const value = Math.fround(Math.fround(normalized * factors[i]!) + offsets[i]!);
        assert.ok(Math.abs(value - pixel) < 0.01, `${name} channel ${c}: ${value}`);
      }
    }
  }
});

test('a large window has blocks of three channels, or four channels where those are not possible', async () => {
  const networkOf = (autoPad: boolean): OnnxModel => {
    const network = largeWindows();
    if (!autoPad) return network;
    const [first] = graphOf(network).node;
    removeAttributes(first!, 'pads');
    first!.attribute.push(makeAttribute('auto_pad', 'SAME_UPPER'));
    return network;
  };
  const channelsOf = async (autoPad: boolean, target: Target): Promise<number | undefined> => {
    const form = await inputFormFor({
      readModel: () => Promise.resolve(networkOf(autoPad)),
      table: { tensors: {} },
      settings: { ...SETTINGS, target },
      normalization: normalizations.find(([name]) => name === 'imagenet')![1],
      ...{ inputType: 'float32', inputRounding: 'pixels' },
      shownName: 'model.onnx',
    });
    const { initializer } = graphOf(await form.readModel());
    const weight = initializer.find(({ name }) => name === 'w1_of_pixels');
    return weight === undefined ? undefined : dimsOf(weight)[1];
  };
  assert.equal(await channelsOf(false, 'avx2'), 12); // of blocks
  assert.equal(await channelsOf(true, 'avx2'), 4);
  assert.equal(await channelsOf(false, 'vnni'), 12);
  assert.equal(await channelsOf(true, 'vnni'), 4);
  assert.equal(await channelsOf(false, 'portable'), 4);
});

test('windows too large for a fourth channel have three for every target', () => {
  const network = largeWindows();
  const graph = graphOf(network);
  graph.initializer[0] = makeTensor('w1', [16, 3, 11, 11], normalValues('w1', 5808, 0.2));
  setIntegers(graph.node[0]!, 'strides', [4, 4]); // AlexNet's
  setIntegers(graph.node[0]!, 'pads', [2, 2, 2, 2]);
  const [, normalization] = normalizations.find(([name]) => name === 'imagenet')!;
  for (const target of ['vnni', 'avx2', 'portable'] as const) {
    const { constantCode, pads, isBlocked, isWorthIt } = takePixels(
      network,
      normalization,
      target,
    )!;
    assert.deepEqual([constantCode, pads, isBlocked], [null, [2, 2, 2, 2], false]);
    assert.ok(isWorthIt);
  }
  assert.equal(takePixels(network, normalization)!.isWorthIt, false); // uint8 input, which is asked for
});

test('where folding would not be exact the input stays, or is refused as uint8', async () => {
  const model = tinyConvnet();
  const [first] = graphOf(model).node;
  first!.opType = 'MaxPool';
  first!.input = ['input'];
  first!.attribute = [];
  const normalization = { mean: triple([0, 0, 0]), std: triple([1, 1, 1]) };
  const options = {
    readModel: () => Promise.resolve(model),
    table: { tensors: {} },
    settings: { ...SETTINGS, target: 'avx2' },
    normalization,
    inputRounding: 'pixels',
    shownName: 'model.onnx',
  } as const;
  const form = await inputFormFor({ ...options, inputType: 'float32' });
  assert.equal(await form.readModel(), model);
  await assert.rejects(inputFormFor({ ...options, inputType: 'uint8' }), {
    code: 'quantization/pixel-input',
    message: /^model.onnx: .*expected one ungrouped convolution over three channels/,
  });
});
