import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor } from '../../../src/onnx/build.ts';
import type { OnnxModel } from '../../../src/onnx/model.ts';
import { writeTensorShards } from '../../../src/data/tensor-shards.ts';
import { equalizeAndCalibrate } from '../../../src/quantization/equalize-and-calibrate.ts';
import { normalValues, smallModel } from '../../support/quantize-one.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const IMAGE = [3, 8, 8] as const;
const CHANNELS = 8;

/** Two convolutions; what the first scales its channels by, over a factor of `spread`, the second undoes. */
function spreadNetwork(spread: number): OnnxModel {
  const scaleOf = (channel: number): number => spread ** (channel / (CHANNELS - 1) - 0.5);
  const first = normalValues('first', CHANNELS * 27, 0.3).map(
    (w, i) => w * scaleOf(Math.floor(i / 27)),
  );
  const second = normalValues('second', CHANNELS * CHANNELS * 9, 0.2).map(
    (w, i) => w / scaleOf(Math.floor(i / 9) % CHANNELS),
  );
  const node = (opType: string, inputs: string[], output: string) => ({
    ...{ opType, name: output, inputs, outputs: [output] },
    ...(opType === 'Conv' ? { attributes: { pads: [1, 1, 1, 1] } } : {}),
  });
  return smallModel({
    input: [1, ...IMAGE],
    output: 'y',
    nodes: [
      node('Conv', ['input', 'w1'], 'c1'),
      node('Relu', ['c1'], 'r1'),
      node('Conv', ['r1', 'w2'], 'c2'),
      node('GlobalAveragePool', ['c2'], 'p'),
      node('Flatten', ['p'], 'y'),
    ],
    tensors: [
      makeTensor('w1', [CHANNELS, 3, 3, 3], first),
      makeTensor('w2', [CHANNELS, CHANNELS, 3, 3], second),
    ],
  });
}

for (const [spread, imageCount, isEqualized] of [
  [300, 12, true],
  [300, 2, true],
  [1, 12, false],
  [1, 2, false],
] as const) {
  test(`auto with ${imageCount} images, channels over a factor of ${spread}: ${isEqualized ? 'equalized' : 'left alone'}`, async (context) => {
    const folder = await temporaryFolder(context);
    const size = IMAGE[0] * IMAGE[1] * IMAGE[2];
    const images = Array.from({ length: imageCount }, (_, i) => normalValues(`image ${i}`, size));
    await writeTensorShards({ folder, dims: IMAGE, tensors: images });
    const model = spreadNetwork(spread);
    const { equalization, selection } = await equalizeAndCalibrate({
      readModel: () => Promise.resolve(model),
      images: { folder, split: 'train', indices: [...images.keys()] },
      ...{ method: 'auto', equalization: 'auto', seed: 0, percentile: 99.999 },
      ...{ batchSize: 1, workerCount: 1, scratchPath: folder },
    });
    assert.equal(equalization !== undefined, isEqualized);
    assert.ok(selection !== undefined);
  });
}
