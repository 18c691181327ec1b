import { readImageShards } from '../../src/data/image-shards.ts';
import { readClassifier } from '../../src/onnx/read-classifier.ts';
import {
  selectionNotes,
  shownMethod,
  writeCalibrationTable,
} from '../../src/quantization/calibration-table.ts';
import { DEFAULT_PERCENTILE } from '../../src/quantization/choices.ts';
import { equalizeAndCalibrate } from '../../src/quantization/equalize-and-calibrate.ts';
import { requireImageModel } from '../../src/quantization/require-image-model.ts';
import { selectSamples } from '../../src/quantization/select-samples.ts';
import { defineStage } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { calibrateParameters } from './parameters.ts';

export const calibrate = defineStage({
  kind: 'calibrate',
  version: 19,
  description: 'Runs a float model over images and chooses the range of every activation.',
  parameters: calibrateParameters,
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The float32 model.' },
    images: { kinds: ['image-shards'], description: 'Preprocessed images.' },
  },
  outputs: {
    table: { kind: 'calibration-table', description: 'Range of every activation, as JSON.' },
    report: { kind: 'metrics', description: 'Number of images and method.' },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 2,
  isolation: 'in-process',
  async run(context) {
    const { inputs, outputs, parameters, signal } = context;
    const { split, seed, method, percentile, equalization, batchSize, count } = parameters;
    if (method !== 'percentile' && method !== 'auto' && percentile !== DEFAULT_PERCENTILE) {
      context.warn('"percentile" has no effect: it is for method percentile or auto');
    }
    const modelPath = inputs['model']!.path; // both are required, so the engine gives them
    const imagesPath = inputs['images']!.path;
    const shards = await readImageShards(imagesPath);
    const { readModel, signature } = await readClassifier(modelPath);
    const { maxBatchSize } = requireImageModel(signature, modelPath, shards);
    const { indices, ids } = selectSamples(shards, parameters);
    if (ids.length < count) {
      context.warn(
        `split ${split} has ${ids.length} images, fewer than count ${count}: all are used`,
      );
    }
    const calibration = await equalizeAndCalibrate({
      readModel,
      images: { folder: imagesPath, split, indices },
      method,
      percentile,
      equalization,
      seed,
      batchSize: Math.min(batchSize, maxBatchSize),
      workerCount: context.resources.cpuCount,
      scratchPath: context.scratchPath,
      signal,
      onProgress: (done, total) => context.progress({ done, total, unit: 'images' }),
    });
    const { tensors, selection } = calibration;
    const chosen = selection === undefined ? {} : { selection };
    const notes = selectionNotes(selection);
    for (const note of notes) context.warn(note);
    await writeCalibrationTable(outputs['table']!, {
      format: 1,
      method,
      ...((selection?.method ?? method) === 'percentile' ? { percentile } : {}),
      ...chosen,
      seed,
      split,
      samples: [...ids],
      tensors,
      ...(calibration.equalization === undefined ? {} : { equalization: calibration.equalization }),
    });
    await writeMetricsFile(outputs['report']!, {
      values: [
        {
          name: 'calibrationImageCount',
          value: ids.length,
          unit: 'images',
          direction: 'neutral',
        },
        {
          name: 'calibrationMethod',
          value: shownMethod({ method, ...chosen }),
          unit: '',
          direction: 'neutral',
        },
      ],
      notes,
      details: {
        tensorCount: Object.keys(tensors).length,
        equalizedPairCount: calibration.equalization?.changes.length ?? 0,
        split,
        seed,
        ...chosen,
      },
    });
  },
});
