import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { makeModel, wrapTensor } from '../../../src/onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { readFloats } from '../../../src/onnx/tensor-data.ts';
import { writeOnnxWithData, type WeightPlaces } from '../../../src/onnx/writer.ts';
import { withWeightsInFile } from '../../../src/quantization/weights-in-file.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drq-weights-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const LARGE = 5_000_000; // values: 20 MB

/** Three weights that are views of one buffer, as those of a file are; the last is small. */
function largeModel(largeSize: number): OnnxModel {
  const all = Float32Array.from({ length: 2 * largeSize + 8 }, (_, i) => Math.sin(i));
  const at = (start: number, size: number): Float32Array => all.subarray(start, start + size);
  const initializers = [
    wrapTensor('first', [largeSize], at(0, largeSize)),
    wrapTensor('second', [largeSize], at(largeSize, largeSize)),
    wrapTensor('small', [8], at(2 * largeSize, 8)),
  ];
  return makeModel({
    graphName: 'large',
    opset: 17,
    inputs: [],
    outputs: [],
    nodes: [],
    initializers,
  });
}

async function written(
  model: OnnxModel,
): Promise<{ readonly path: string; readonly places: WeightPlaces }> {
  const path = join(folder, 'weights.data');
  const copy = cloneModel(model); // whose tensors share their bytes with the model's
  return { path, places: await writeOnnxWithData(join(folder, 'model.onnx'), path, copy) };
}

const lengthsOf = (model: OnnxModel): number[] =>
  graphOf(model).initializer.map(({ rawData }) => rawData.length);

const valuesOf = (model: OnnxModel): Float32Array[] => graphOf(model).initializer.map(readFloats);

test('large weights are out of memory while they are not needed, and the same afterwards', async () => {
  const model = largeModel(LARGE);
  const file = await written(model);
  const held = process.memoryUsage().arrayBuffers;
  const freed = (): number => held - process.memoryUsage().arrayBuffers;
  const lengths = await withWeightsInFile(model, file, async () => {
    // V8 gives collected buffers back in a thread of its own.
    for (let wait = 0; wait < 500 && freed() < 39e6; wait += 1) await setTimeout(10);
    assert.ok(freed() > 39e6, `${freed()} bytes were freed`);
    return lengthsOf(model);
  });
  assert.deepEqual(lengths, [0, 0, 32]);
  assert.deepEqual(valuesOf(model), valuesOf(largeModel(LARGE)));
});

test('they come back when what runs meanwhile fails', async () => {
  const model = largeModel(LARGE);
  const file = await written(model);
  const failing = withWeightsInFile(model, file, () => Promise.reject(new Error('no images')));
  await assert.rejects(failing, /no images/);
  assert.deepEqual(valuesOf(model), valuesOf(largeModel(LARGE)));
});

test('weights of a few megabytes stay where they are', async () => {
  const model = largeModel(1000);
  const file = await written(model);
  const lengths = await withWeightsInFile(model, file, () => Promise.resolve(lengthsOf(model)));
  assert.deepEqual(lengths, [4000, 4000, 32]);
});

test('a file that was cut off meanwhile is an error, never other weights', async () => {
  const model = largeModel(LARGE);
  const file = await written(model);
  const cutting = withWeightsInFile(model, file, () => truncate(file.path, 1e6));
  await assert.rejects(cutting, /weights\.data ends after 1000000 of 40000000 bytes/);
});
