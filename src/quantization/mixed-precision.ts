import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { classifierSignature } from '../onnx/model-signature.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import { collectRows, timeModels } from './compare-models.ts';
import { fidelityOf, type Fidelity } from './fidelity.ts';
import { quantizeModel, type QuantizedModel } from './quantize-model.ts';

/** One model of the trade: so many of the most harmful layers in float. */
export interface TradeStep {
  readonly floatLayerCount: number;
  /** In the order they returned to float. */
  readonly floatLayers: readonly string[];
  readonly fidelity: Fidelity;
  /** Points of top-1 below the float model; negative where it is better. */
  readonly dropPoints: number;
  readonly latencyMs: number;
  readonly floatLatencyMs: number;
  readonly sizeBytes: number;
}

/** What an accuracy budget cost: the models that were measured, and the one chosen. */
export interface MixedPrecision {
  readonly quantized: QuantizedModel;
  readonly budgetPoints: number;
  readonly isWithinBudget: boolean;
  /** The step that `quantized` is. */
  readonly chosen: TradeStep;
  /** All that were measured, by number of float layers. */
  readonly steps: readonly TradeStep[];
}

export interface MixedPrecisionOptions {
  /** With every layer quantized. */
  readonly quantized: QuantizedModel;
  /** Names of its layers, the most harmful first; those of one group return together. */
  readonly order: readonly (readonly string[])[];
  /** Most points of top-1 that may be lost. */
  readonly budgetPoints: number;
  /** The float model's file. */
  readonly floatPath: string;
  /** Images with labels that were not calibrated on. */
  readonly images: ImageSelection;
  readonly labels: readonly number[];
  readonly workerCount: number;
  readonly scratchPath: string;
  /** What is still done to every model, with these layers in float, before it is used. */
  readonly finish?: (quantized: QuantizedModel, floatLayers: readonly string[]) => QuantizedModel;
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (step: TradeStep) => void;
}

/**
 * Lets layers return to float, the most harmful first, until the top-1 lost on labelled images is
 * within the budget. Steps are one group at first and then longer; between the last that fails and
 * the first that passes the search halves, so that no more layers stay float than measured to be
 * needed. One layer at least stays quantized: with none there is no int8 model.
 */
export async function meetAccuracyBudget(options: MixedPrecisionOptions): Promise<MixedPrecision> {
  const { order, budgetPoints } = options;
  const reference = await rowsOf(options.floatPath, options);
  const floatLayers = floatLayersByStep(order);
  const steps = new Map<number, { step: TradeStep; quantized: QuantizedModel }>();
  const passes = async (count: number): Promise<boolean> => {
    const known = steps.get(count);
    const measured = known ?? (await measureStep(options, floatLayers[count] ?? [], reference));
    steps.set(count, measured);
    if (known === undefined) options.onStep?.(measured.step);
    return isWithinBudget(measured.step.dropPoints, budgetPoints);
  };

  const largest = floatLayers.length - 1;
  let failing = -1;
  let passing: number | null = null;
  for (const count of stepCounts(largest)) {
    if (await passes(count)) {
      passing = count;
      break;
    }
    failing = count;
  }
  while (passing !== null && passing - failing > 1) {
    const middle = Math.floor((failing + passing) / 2);
    if (await passes(middle)) passing = middle;
    else failing = middle;
  }
  const measured = [...steps.values()].sort(
    (a, b) => a.step.floatLayerCount - b.step.floatLayerCount,
  );
  const chosen =
    passing === null
      ? measured.reduce((best, other) =>
          other.step.dropPoints < best.step.dropPoints ? other : best,
        )
      : steps.get(passing)!; // it was measured
  return {
    quantized: chosen.quantized,
    budgetPoints,
    isWithinBudget: passing !== null,
    chosen: chosen.step,
    steps: measured.map(({ step }) => step),
  };
}

/** A drop that is exactly the budget is within it: 100 · (0.58 - 0.57) is a little more than 1. */
export function isWithinBudget(dropPoints: number, budgetPoints: number): boolean {
  return dropPoints <= budgetPoints + ROUNDING_POINTS;
}

/** No two shares of images differ by so little. */
const ROUNDING_POINTS = 1e-9;

/** What is in float after so many steps: no layer, then one group more each; never all of them. */
export function floatLayersByStep(order: readonly (readonly string[])[]): string[][] {
  const most = order.flat().slice(0, -1);
  const steps: string[][] = [[]];
  let count = 0;
  for (const group of order) {
    if (count === most.length) break;
    count = Math.min(count + group.length, most.length);
    steps.push(most.slice(0, count));
  }
  return steps;
}

const SINGLE_STEPS = 6;
const GROWTH = 1.5;

/** 0, 1, 2, … 6, 9, 13, 19, … and the largest. */
export function stepCounts(largest: number): number[] {
  const counts: number[] = [];
  let count = 0;
  while (count < largest) {
    counts.push(count);
    count = count < SINGLE_STEPS ? count + 1 : Math.floor(count * GROWTH);
  }
  return [...counts, largest];
}

async function measureStep(
  options: MixedPrecisionOptions,
  floatLayers: readonly string[],
  reference: readonly Float32Array[],
): Promise<{ step: TradeStep; quantized: QuantizedModel }> {
  const { scratchPath, images, labels, floatPath, signal, finish } = options;
  const floatLayerCount = floatLayers.length;
  const { readModel, table, options: settings } = options.quantized.source;
  const excluded = new Set([...(settings.excluded ?? []), ...floatLayers]);
  const unfinished = quantizeModel(await readModel(), table, { ...settings, excluded });
  const quantized = finish === undefined ? unfinished : finish(unfinished, floatLayers);
  // Workers keep a session a path, so each step has a path of its own.
  const path = join(scratchPath, `trade-${floatLayerCount}.onnx`);
  try {
    await writeOnnx(path, quantized.model);
    const fidelity = fidelityOf(reference, await rowsOf(path, options), {
      labels,
      scores: classifierSignature(quantized.model, 'the model').scores,
    });
    const { accuracy = { floatTop1Fraction: 0, top1Fraction: 0 } } = fidelity; // labels were given
    const timing = await timeModels({ floatPath, quantizedPath: path }, images, signal);
    const step: TradeStep = {
      floatLayerCount,
      floatLayers,
      fidelity,
      dropPoints: 100 * (accuracy.floatTop1Fraction - accuracy.top1Fraction),
      latencyMs: timing.latencyMs,
      floatLatencyMs: timing.floatLatencyMs,
      sizeBytes: (await stat(path)).size,
    };
    return { step, quantized };
  } finally {
    await rm(path, { force: true });
  }
}

function rowsOf(modelPath: string, options: MixedPrecisionOptions): Promise<Float32Array[]> {
  const { images, workerCount, signal, quantized } = options;
  const { outputName } = classifierSignature(quantized.model, 'the model');
  return collectRows({
    modelPath,
    outputName,
    images,
    workerCount,
    ...(signal === undefined ? {} : { signal }),
  });
}
