import { SPLITS, type Split } from '../../src/data/dataset-index.ts';
import { readImageShards, type ImageShards } from '../../src/data/image-shards.ts';
import { StageError } from '../../src/diagnostics/errors.ts';
import { argmax } from '../../src/metrics/ranking.ts';
import { classifierSignature, type ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { defineStage } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { checkRecorded } from './check-recorded.ts';
import { evaluateParameters } from './parameters.ts';
import { predictSplit, type Prediction } from './predict.ts';
import { writePredictions } from './predictions-csv.ts';
import { scorePredictions } from './score.ts';

export const evaluate = defineStage({
  kind: 'evaluate',
  version: 2,
  description: 'Scores a model on a split, and against a reference model when one is given.',
  parameters: evaluateParameters,
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The classifier to score.' },
    images: {
      kinds: ['image-shards'],
      description: 'Preprocessed images; only the first copy of each counts.',
    },
    reference: {
      kinds: ['model/onnx'],
      optional: true,
      description: 'A model whose answers the scored one should repeat, usually the fp32 one.',
    },
  },
  outputs: {
    metrics: { kind: 'metrics', description: 'Accuracy and agreement, each with its interval.' },
    predictions: {
      kind: 'predictions',
      description: 'One row an image: image, label, predicted, one probability a class.',
    },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 'all',
  isolation: 'in-process',
  async run(context) {
    const { inputs, outputs, parameters } = context;
    // `model` and `images` are required: the engine gives every required input.
    const model = inputs['model']!;
    const images = inputs['images']!;
    const reference = inputs['reference'];
    const shards = await readImageShards(images.path);
    requireImages(shards, parameters.split);
    const modelPaths = [model.path, ...(reference === undefined ? [] : [reference.path])];
    const signatures: ClassifierSignature[] = [];
    for (const path of modelPaths) {
      const onnx = await readOnnx(path);
      const signature = classifierSignature(onnx, path);
      requireFit(signature, shards, path);
      const readsPixels = signature.inputType === 'uint8';
      for (const warning of checkRecorded(onnx, shards, { path, readsPixels })) {
        context.warn(warning);
      }
      signatures.push(signature);
    }
    const { batchSize, isFixed } = batchSizeOf(signatures, parameters.batchSize);
    const predictions = await predictSplit({
      modelPaths,
      shardsPath: images.path,
      split: parameters.split,
      batchSize,
      padLastBatch: isFixed,
      workerCount: Math.max(1, context.resources.cpuCount),
      signal: context.signal,
      progress: (update) => context.progress(update),
    });
    requireClassScores(predictions, shards.classes.length, modelPaths);
    const metrics = await scorePredictions({
      predictions,
      classes: shards.classes,
      split: parameters.split,
      topK: parameters.topK,
      scoreKind: signatures[0]!.scores, // the model's own signature was pushed first
      signal: context.signal,
      progress: (update) => context.progress(update),
    });
    await writeMetricsFile(outputs['metrics']!, metrics);
    await writePredictions(outputs['predictions']!, {
      predictions,
      classes: shards.classes,
      scoreKind: signatures[0]!.scores,
      signal: context.signal,
    });
  },
});

function requireImages(shards: ImageShards, split: Split): void {
  const countOf = (name: Split): number =>
    shards.splits[name].entries.filter(({ copy }) => copy === 0).length;
  if (countOf(split) > 0) return;
  const others = SPLITS.filter((name) => countOf(name) > 0);
  const shown = others.map((name) => `${name} (${countOf(name)})`).join(', ');
  throw new StageError({
    code: 'evaluate/empty-split',
    message: `split "${split}" has no images; splits with images: ${shown === '' ? 'none' : shown}`,
    hint: adviseOnEmptySplit(split, others),
  });
}

/** Figures on training images look like an accuracy and are none: train is not what to turn to. */
function adviseOnEmptySplit(split: Split, others: readonly Split[]): string {
  const other = others.find((name) => name !== 'train');
  const [first] = others;
  if (first === undefined) return 'check the ingest stage: it found no images at all';
  const give = `give the ingest stage images for "${split}"`;
  return other === undefined
    ? `${give}; split: train would score the images that the model was trained on, which says little about others`
    : `set the parameter "split" to ${other}, or ${give}`;
}

function requireFit(signature: ClassifierSignature, shards: ImageShards, path: string): void {
  const { height, width } = signature;
  if ((height ?? shards.height) !== shards.height || (width ?? shards.width) !== shards.width) {
    throw new StageError({
      code: 'evaluate/input-size',
      message: `${path} takes images of ${width ?? 'any'} x ${height ?? 'any'} pixels, the shards hold ${shards.width} x ${shards.height}`,
      hint: `set the augment stage's size to ${height ?? width ?? shards.height}`,
    });
  }
  if (signature.classCount !== null) {
    requireClassCount(signature.classCount, shards.classes.length, path);
  }
}

function requireClassCount(received: number, expected: number, path: string): void {
  if (received === expected) return;
  throw new StageError({
    code: 'evaluate/class-count',
    message: `${path} scores ${received} classes, the dataset has ${expected}`,
    hint: 'evaluate the model on the dataset it was trained on, or train it on this one',
  });
}

/**
 * What a model exported with a dynamic class count gave, and that it names a class for any image: NaN
 * for some is told beside the figures, which count them as wrong.
 */
function requireClassScores(
  predictions: readonly Prediction[],
  classCount: number,
  modelPaths: readonly string[],
): void {
  for (const [m, path] of modelPaths.entries()) {
    for (const { scores } of predictions) requireClassCount(scores[m]!.length, classCount, path); // one a model
    if (predictions.some(({ scores }) => !Number.isNaN(argmax(scores[m]!)))) continue;
    throw new StageError({
      code: 'evaluate/non-finite-scores',
      message: `${path} gives scores with NaN for all ${predictions.length} images; expected finite class scores`,
      hint: 'the weights may hold NaN: look at the history of the training stage',
    });
  }
}

/** A model exported with a fixed batch size can only be run with that one. */
function batchSizeOf(
  signatures: readonly ClassifierSignature[],
  wanted: number,
): { batchSize: number; isFixed: boolean } {
  const fixed = [...new Set(signatures.flatMap(({ batchSize }) => batchSize ?? []))];
  if (fixed.length > 1) {
    throw new StageError({
      code: 'evaluate/batch-size',
      message: `the model and the reference have different fixed batch sizes: ${fixed.join(', ')}`,
      hint: 'export both with a dynamic batch dimension, or with the same fixed one',
    });
  }
  return { batchSize: fixed[0] ?? wanted, isFixed: fixed[0] !== undefined };
}
