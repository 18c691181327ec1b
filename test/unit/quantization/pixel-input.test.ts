import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { FLOAT_NCHW, toNetworkInput } from '../../../src/data/network-input.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { PRESETS } from '../../../src/quantization/normalization-choice.ts';
import { takePixels } from '../../../src/quantization/pixel-input.ts';
import { openOnnxSession, type OnnxTensor } from '../../../src/runtime/onnx-session.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const triple = ([r, g, b]: readonly number[]): [number, number, number] => [r!, g!, b!];

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
  const custom = { mean: [0.02, 0.9, 0.31], std: [0.1, 0.3, 1.2] };
  for (const [name, { mean, std }] of Object.entries({ ...PRESETS, custom })) {
    const normalization = { mean: triple(mean), std: triple(std) };
    const size = { height: TINY_SIZE, width: TINY_SIZE };
    const images = { pixelsNhwc, imageCount: 2, normalization, ...size };
    const float = toNetworkInput(images, FLOAT_NCHW);
    const expected = await outputOf('float.onnx', tinyConvnet(), float);
    const { model, constantCode } = takePixels(tinyConvnet(), normalization, 'model');
    assert.ok(constantCode >= 0 && constantCode <= 255, `${name}: ${constantCode}`);
    const pixels = toNetworkInput(images, { type: 'uint8', layout: 'nchw' });
    const actual = await outputOf(`${name}.onnx`, model, pixels);
    for (const [i, value] of expected.entries()) {
      assert.ok(Math.abs(actual[i]! - value) < 1e-4 * (1 + Math.abs(value)), `${name} ${i}`);
    }
  }
});

test('where folding would not be exact it is refused by name', () => {
  const model = tinyConvnet();
  const [first] = graphOf(model).node;
  first!.opType = 'MaxPool';
  const normalization = { mean: triple([0, 0, 0]), std: triple([1, 1, 1]) };
  assert.throws(() => takePixels(model, normalization, 'model.onnx'), {
    code: 'quantization/pixel-input',
    message: /MaxPool "first" reads the input "input"; expected one ungrouped convolution/,
  });
});
