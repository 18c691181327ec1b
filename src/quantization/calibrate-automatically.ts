import { evenlySpaced } from '../numeric/evenly-spaced.ts';
import { createRandom, shuffled } from '../numeric/random.ts';
import { graphOf, type OnnxGraph } from '../onnx/model.ts';
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
import { withRangeTrials } from './try-ranges.ts';
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
/** Sixteen chose no better over four draws on each of two MobileNetV2. */
const MOST_HELD_OUT = 12;
/** Held-out images that all candidates run; the best two of them run the others. */
const FIRST_ROUND = 4;
const FINALIST_COUNT = 2;

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
  const { images, percentile, onProgress, model } = options;
  const inputs = imageTensors(graphOf(model));
  /** Images are all there is to see of an input: what a range cuts off of them nothing brings back. */
  const rangesBy = (method: RangeMethod, states: ReadonlyMap<string, ObserverState>) => {
    const ofInputs = new Map([...states].filter(([tensor]) => inputs.has(tensor)));
    const choice = { method, percentile };
    return {
      ...chooseRanges(states, choice),
      ...chooseRanges(ofInputs, { ...choice, method: 'min-max' }),
    };
  };
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
  const { candidates, finalists } = await raceCandidates({
    ...options,
    images: { ...images, indices: heldOut },
    tables: CANDIDATES.map((method) => rangesBy(method, fitted)),
    reference: observed.heldOutRows,
    onProgress: (done) => onProgress?.(observedCount + done, total),
  });
  const method = bestOf(finalists);
  return {
    tensors: rangesBy(method, allStates(observed)),
    selection: { method, heldOutImageCount: heldOut.length, candidates },
  };
}

/** The inputs, and what only puts their values elsewhere. */
function imageTensors({ input, node }: OnnxGraph): Set<string> {
  const found = new Set(input.map(({ name }) => name));
  for (const {
    opType,
    input: [source = ''],
    output,
  } of node) {
    if (MOVING.has(opType) && found.has(source)) for (const name of output) found.add(name);
  }
  return found;
}

const MOVING = new Set(['Transpose', 'Pad', 'Reshape', 'Slice', 'Split', 'Squeeze', 'Unsqueeze']);

type Candidate = MethodSelection['candidates'][number];

/**
 * The candidates' scores: of the best two over all held-out images, of the others over the first round,
 * which is enough to see what is far behind. `reference` holds the float network's rows.
 */
async function raceCandidates(
  options: AutomaticOptions & {
    readonly tables: readonly AutomaticCalibration['tensors'][];
    readonly reference: readonly Float32Array[];
  },
): Promise<{ readonly candidates: Candidate[]; readonly finalists: Candidate[] }> {
  const { images, tables, reference, onProgress } = options;
  const { indices } = images;
  const first = evenlySpaced([...indices.keys()], FIRST_ROUND);
  const others = [...indices.keys()].filter((position) => !first.includes(position));
  return withRangeTrials(options, async (tryTables) => {
    let done = 0;
    const scoresOn = async (positions: readonly number[], which: readonly number[]) => {
      const chosen = { ...images, indices: positions.map((position) => indices[position]!) };
      const rows = await tryTables(
        which.map((i) => tables[i]!), // positions in both lists
        chosen,
        (more) => onProgress?.(done + more, indices.length),
      );
      done += positions.length;
      const expected = positions.map((position) => reference[position]!); // a row a held-out image
      return rows.map((actual) => sqnrsDb(expected, actual));
    };
    const scores = await scoresOn(
      first,
      CANDIDATES.map((_, i) => i),
    );
    const finalists = bestFew(scores.map(meanOf), FINALIST_COUNT);
    if (others.length > 0) {
      const more = await scoresOn(others, finalists);
      for (const [n, i] of finalists.entries()) scores[i]?.push(...more[n]!);
    }
    const candidates = CANDIDATES.map((method, i) => ({ method, sqnrDb: meanOf(scores[i]!) })); // one each
    return { candidates, finalists: finalists.map((i) => candidates[i]!) };
  });
}

/** Positions of the `count` greatest, in ascending order; null: no noise at all. */
function bestFew(scores: readonly (number | null)[], count: number): number[] {
  const score = (i: number): number => scores[i] ?? Infinity;
  return [...scores.keys()]
    .sort((a, b) => score(b) - score(a))
    .slice(0, count)
    .sort((a, b) => a - b);
}

/** A quarter of the images, at most 12, in their order; all of them where there are fewer than four. */
export function drawHeldOut(indices: readonly number[], seed: number): number[] {
  const count = Math.min(Math.floor(indices.length * HELD_OUT_FRACTION), MOST_HELD_OUT);
  if (count === 0) return [...indices];
  const drawn = new Set(shuffled(indices, createRandom(seed, 'held-out')).slice(0, count));
  return indices.filter((index) => drawn.has(index));
}

/** The first of those that tie with the best. */
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
 * Of each image; where there is no noise, none. Their mean is what candidates are judged by: the SQNR
 * of all outputs together would follow the rare image with outputs ten times the others'. On a
 * ResNet-50 it prefers ranges that hold those images, with which 67 % of the answers are the float
 * network's, to ranges of the usual image, with which 88 % are. The mean of the images' relative errors,
 * which minds a ruined image more, cost an EfficientNet-B0 3 dB.
 */
function sqnrsDb(reference: readonly Float32Array[], actual: readonly Float32Array[]): number[] {
  return reference.flatMap((row, i) => {
    const accumulator = createSqnrAccumulator();
    accumulator.add(row, actual[i]!); // both ran the same images
    return accumulator.finishDb() ?? [];
  });
}

function meanOf(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
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
