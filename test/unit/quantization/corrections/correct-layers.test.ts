import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { graphOf } from '../../../../src/onnx/model.ts';
import { readFloats } from '../../../../src/onnx/tensor-data.ts';
import { correctLayers } from '../../../../src/quantization/corrections/correct-layers.ts';
import { calibrate } from '../../../../src/quantization/calibrate.ts';
import { prepareModel } from '../../../../src/quantization/prepare-model.ts';
import { planQuantization } from '../../../../src/quantization/quantization-plan.ts';
import { dequantizeWeight, nearestWeight } from '../../../../src/quantization/weights.ts';
import { writeColouredShards } from '../../../support/coloured-shards.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../../support/tiny-convnet.ts';

const SCHEME = {
  granularity: 'per-channel',
  range: 'max',
  target: 'vnni',
  firstConvolution: 'pad',
} as const;

const BOTH = { rounding: 'adaptive', biasCorrection: 'local' } as const;

async function planned(t: TestContext) {
  const folder = await temporaryFolder(t);
  await writeColouredShards(folder, { size: TINY_SIZE, imagesPerClass: { train: 8 } });
  const model = prepareModel(tinyConvnet());
  const images = {
    folder,
    split: 'train' as const,
    indices: Array.from({ length: 16 }, (_, i) => i),
  };
  const shared = { model, images, batchSize: 1, workerCount: 1, scratchPath: folder };
  const tensors = await calibrate({ ...shared, method: 'min-max', percentile: 100 });
  return {
    ...shared,
    plan: planQuantization(graphOf(model), { tensors }, SCHEME),
    ...BOTH,
  };
}

test('every layer is rounded with about the scales of the plan, some weights away from the nearest', async (t) => {
  const options = await planned(t);
  const { weights: rounded } = await correctLayers(options);
  const initializers = new Map(graphOf(options.model).initializer.map((x) => [x.name, x]));
  assert.equal(rounded.size, 3);
  for (const layer of options.plan.layers) {
    const weight = rounded.get(layer.outputTensor)!;
    // Short rows have a slightly larger scale where that serves their outputs.
    const ratios = weight.scales.map((scale, m) => scale / layer.scales[m]!);
    const most = weight.codes.length / layer.channelCount <= 32 ? 1.061 : 1;
    assert.ok(ratios.every((ratio) => ratio >= 1 && ratio <= most));
    const values = readFloats(initializers.get(layer.weightName)!);
    const nearest = nearestWeight({ ...layer, values }, layer.scales, layer.bounds);
    assert.equal(weight.codes.length, nearest.codes.length);
    assert.notDeepEqual(weight.codes, nearest.codes);
    // Weights lose a little, outputs win; another scale may suit the weights too.
    if (most === 1) assert.ok(weight.sqnrDb < nearest.sqnrDb);
    assert.ok(Math.abs(weight.sqnrDb - nearest.sqnrDb) < 6);
    const restored = dequantizeWeight(weight, layer.channelCount, layer.axis);
    const scale = Math.max(...weight.scales);
    for (const [i, value] of values.entries()) {
      assert.ok(Math.abs(value - restored[i]!) < 4 * scale);
    }
  }
});

test('the number of workers changes nothing', async (t) => {
  const options = { ...(await planned(t)), biasCorrection: 'none' } as const;
  const one = await correctLayers(options);
  const other = await correctLayers({ ...options, workerCount: 2 });
  assert.deepEqual([...one.weights], [...other.weights]);
});
