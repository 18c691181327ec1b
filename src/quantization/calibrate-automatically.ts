import { createRandom, shuffled } from '../numeric/random.ts';
import { createSqnrAccumulator } from '../metrics/sqnr.ts';
import type { MethodSelection } from './calibration-table.ts';
import { calibrate } from './calibrate.ts';
import { chooseRanges } from './choose-range.ts';
import {
  observeActivations,
  type ObservedActivations,
  type ObserveOptions,
} from './observe-activations.ts';
import { mergeHistograms } from './observers/histogram.ts';
import type { ObserverState } from './observers/observer.ts';
import type { TensorRange } from './parameters.ts';
import { tryRanges } from './try-ranges.ts';
import type { RangeMethod } from './choices.ts';

export interface AutomaticOptions extends ObserveOptions {
  /** Of the draw of held-out images. */
  readonly seed: number;
  /** For the candidate of that name. */
  readonly percentile: number;
}

export interface AutomaticCalibration {
  readonly tensors: Readonly<Record<string, TensorRange>>;
  readonly selection: MethodSelection;
}

/**
 * What is tried, simplest first. Entropy clips too hard to be worth its time: 8 to 12 dB below the
 * best on each of three MobileNetV2. The moving average depends on the order of images.
 */
const CANDIDATES = [
  'min-max',
  'mean-min-max',
  'percentile',
  'mse',
  'l2-histogram',
] as const satisfies readonly RangeMethod[];

/**
 * Differences this small are noise: two runs of one network that differ in nothing but the order of
 * float additions were up to 1 dB apart over 8 images, since rounded activations fall on other sides.
 */
const TIE_DB = 0.25;

const HELD_OUT_FRACTION = 0.25;
/** More would only take time. */
const MOST_HELD_OUT = 32;

/**
 * Ranges by the method that keeps the outputs closest to the float network's on calibration images it
 * has not seen. One pass observes all images, a quarter of them apart; each candidate's ranges, from
 * the others, then round the activations of the network on that quarter, with weights in float: what
 * rounds the weights costs every candidate the same, and the correction of biases makes up for it.
 * The winner's final ranges come from all images. Candidates are within noise of one another where
 * they are close, so methods are not mixed: choosing tensor by tensor would take a run for each of
 * hundreds of choices and mostly pick noise.
 */
export async function calibrateAutomatically(
  options: AutomaticOptions,
): Promise<AutomaticCalibration> {
  const { images, percentile, onProgress } = options;
  const heldOut = drawHeldOut(images.indices, options.seed);
  const observedCount = images.indices.length;
  const total = observedCount + heldOut.length;
  const observed = await observeActivations({
    ...options,
    observer: 'histogram',
    heldOut: new Set(heldOut),
    onProgress: (done) => onProgress?.(done, total),
  });
  // With a handful of images there is nothing to hold out: they are scored on themselves.
  const fitted = observed.kept.size > 0 ? observed.kept : observed.heldOut;
  const rows = await tryRanges({
    ...options,
    tables: CANDIDATES.map((method) => chooseRanges(fitted, { method, percentile })),
    images: { ...images, indices: heldOut },
    onProgress: (done) => onProgress?.(observedCount + done, total),
  });
  const candidates = CANDIDATES.map((method, i) => ({
    method,
    sqnrDb: meanSqnrDb(observed.heldOutRows, rows[i] ?? []),
  }));
  const method = bestOf(candidates);
  return {
    tensors: chooseRanges(allStates(observed), { method, percentile }),
    selection: { method, heldOutImageCount: heldOut.length, candidates },
  };
}

/** A quarter of the images, at most 32, in their order; all of them where there are fewer than four. */
export function drawHeldOut(indices: readonly number[], seed: number): number[] {
  const count = Math.min(Math.floor(indices.length * HELD_OUT_FRACTION), MOST_HELD_OUT);
  if (count === 0) return [...indices];
  const drawn = new Set(shuffled(indices, createRandom(seed, 'held-out')).slice(0, count));
  return indices.filter((index) => drawn.has(index));
}

/** The first, which is the simplest, of those that tie with the best. */
export function bestOf(
  candidates: readonly { readonly method: RangeMethod; readonly sqnrDb: number | null }[],
): RangeMethod {
  // Null: no difference at all.
  const score = (sqnrDb: number | null): number => sqnrDb ?? Infinity;
  const best = Math.max(...candidates.map(({ sqnrDb }) => score(sqnrDb)));
  const found = candidates.find(({ sqnrDb }) => score(sqnrDb) >= best - TIE_DB);
  return found?.method ?? 'mse'; // there are candidates
}

/**
 * The mean of the images' own SQNR. That of all outputs together would follow the rare image with
 * outputs ten times the others': on a ResNet-50 it prefers ranges that hold those images, with which
 * 67 % of the answers are the float network's, to ranges of the usual image, with which 88 % are.
 */
function meanSqnrDb(
  reference: readonly Float32Array[],
  actual: readonly Float32Array[],
): number | null {
  let sum = 0;
  let count = 0;
  for (const [i, row] of reference.entries()) {
    const accumulator = createSqnrAccumulator();
    accumulator.add(row, actual[i]!); // both ran the same images
    const sqnrDb = accumulator.finishDb();
    if (sqnrDb === null) continue;
    sum += sqnrDb;
    count += 1;
  }
  return count === 0 ? null : sum / count;
}

function allStates({ kept, heldOut }: ObservedActivations): Map<string, ObserverState> {
  if (kept.size === 0 || heldOut.size === 0) return new Map(kept.size === 0 ? heldOut : kept);
  return new Map(
    [...kept].map(([tensor, state]) => [tensor, mergeHistograms(state, heldOut.get(tensor)!)]), // both hold every tensor
  );
}

/** `calibrate`, or `calibrateAutomatically` with what it chose. */
export async function calibrateBy(
  options: AutomaticOptions & { readonly method: RangeMethod | 'auto' },
): Promise<{ tensors: AutomaticCalibration['tensors']; selection?: MethodSelection }> {
  const { method } = options;
  return method === 'auto'
    ? await calibrateAutomatically(options)
    : { tensors: await calibrate({ ...options, method }) };
}
