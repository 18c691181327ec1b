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
 * What is tried; the first is taken unless another proves better. By itself it was within 0.4 dB of the
 * best of all methods on each of eight networks, and 1 dB above the others on an EfficientNet-B0, whose
 * images differ much in size. `mse` and `l2-histogram` minimize the same without minding that, and won
 * nowhere. Entropy clips too hard to be worth its time: 8 to 12 dB below the best on each of three
 * MobileNetV2. The moving average depends on the order of images.
 */
const CANDIDATES = [
  'relative-mse',
  'mean-min-max',
  'percentile',
  'min-max',
] as const satisfies readonly RangeMethod[];

/**
 * Differences this small are noise, whatever images they are seen on: two runs of one network that
 * differ in nothing but the order of float additions were up to 1 dB apart over 8 images, since rounded
 * activations fall on other sides.
 */
const TIE_DB = 0.25;

const HELD_OUT_FRACTION = 0.25;
/** Sixteen chose no better over four draws on each of two MobileNetV2. */
const MOST_HELD_OUT = 12;
/** Held-out images that all candidates run; the first candidate and the best other one run the rest. */
const FIRST_ROUND = 4;

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
  const { candidates, winner } = await raceCandidates({
    ...options,
    images: { ...images, indices: heldOut },
    tables: CANDIDATES.map((method) => rangesBy(method, fitted)),
    reference: observed.heldOutRows,
    onProgress: (done) => onProgress?.(observedCount + done, total),
  });
  return {
    tensors: rangesBy(winner, allStates(observed)),
    selection: { method: winner, heldOutImageCount: heldOut.length, candidates },
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

const MOVING = new Set(
  'Transpose Pad Reshape Slice Split Squeeze Unsqueeze Gather SpaceToDepth DepthToSpace'.split(' '),
);

type Candidate = MethodSelection['candidates'][number];

/**
 * The candidates' scores: of two over all held-out images, of the others over the first round, which is
 * enough to see what is far behind. `reference` holds the float network's rows.
 */
async function raceCandidates(
  options: AutomaticOptions & {
    readonly tables: readonly AutomaticCalibration['tensors'][];
    readonly reference: readonly Float32Array[];
  },
): Promise<{ readonly candidates: Candidate[]; readonly winner: RangeMethod }> {
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
    const scores: ImageScores[] = await scoresOn(
      first,
      CANDIDATES.map((_, i) => i),
    );
    const finalists = [0, bestAfterFirst(scores)];
    if (others.length > 0) {
      const more = await scoresOn(others, finalists);
      for (const [n, i] of finalists.entries()) scores[i] = [...scores[i]!, ...more[n]!]; // one each
    }
    const candidates = CANDIDATES.map((method, i) => ({ method, sqnrDb: meanOf(scores[i]!) })); // one each
    const [own = [], other = []] = finalists.map((i) => scores[i]);
    return { candidates, winner: CANDIDATES[finalists[isBetter(other, own) ? 1 : 0]!]! };
  });
}

/** SQNR in dB of each image; null where it has no noise at all. */
type ImageScores = readonly (number | null)[];

function bestAfterFirst(scores: readonly ImageScores[]): number {
  const means = scores.map((each) => meanOf(each) ?? Infinity);
  return means.indexOf(Math.max(...means.slice(1)), 1);
}

/** A quarter of the images, at most 12, in their order; all of them where there are fewer than four. */
export function drawHeldOut(indices: readonly number[], seed: number): number[] {
  const count = Math.min(Math.floor(indices.length * HELD_OUT_FRACTION), MOST_HELD_OUT);
  if (count === 0) return [...indices];
  const drawn = new Set(shuffled(indices, createRandom(seed, 'held-out')).slice(0, count));
  return indices.filter((index) => drawn.has(index));
}

/**
 * Whether `other` is above `own` by more than what is noise anyway, and by more than the standard error
 * of the images' differences: some images may like either better.
 */
export function isBetter(other: ImageScores, own: ImageScores): boolean {
  const [otherMean, ownMean] = [meanOf(other), meanOf(own)];
  if (otherMean === null || ownMean === null) return otherMean === null && ownMean !== null;
  const differences = other.flatMap((score, i) => {
    const mine = own[i] ?? null;
    return score === null || mine === null ? [] : [score - mine];
  });
  const count = differences.length;
  const mean = differences.reduce((sum, value) => sum + value, 0) / count;
  const squares = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const standardError = count > 1 ? Math.sqrt(squares / (count * (count - 1))) : 0;
  return mean > Math.max(TIE_DB, standardError);
}

/**
 * Of each image. Their mean is what candidates are judged by: the SQNR
 * of all outputs together would follow the rare image with outputs ten times the others'. On a
 * ResNet-50 it prefers ranges that hold those images, with which 67 % of the answers are the float
 * network's, to ranges of the usual image, with which 88 % are. The mean of the images' relative errors,
 * which minds a ruined image more, cost an EfficientNet-B0 3 dB.
 */
function sqnrsDb(reference: readonly Float32Array[], actual: readonly Float32Array[]): ImageScores {
  return reference.map((row, i) => {
    const accumulator = createSqnrAccumulator();
    accumulator.add(row, actual[i]!); // both ran the same images
    return accumulator.finishDb();
  });
}

/** Over the images that have noise; null where none has. */
function meanOf(scores: ImageScores): number | null {
  const values = scores.filter((score) => score !== null);
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
