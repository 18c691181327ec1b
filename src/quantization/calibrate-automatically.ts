import { evenlySpaced } from '../numeric/evenly-spaced.ts';
import { finiteOrNull } from '../numeric/finite-or-null.ts';
import { createRandom, shuffled } from '../numeric/random.ts';
import { graphOf, type OnnxGraph } from '../onnx/model.ts';
import type { MethodSelection } from './calibration-table.ts';
import { calibrate } from './calibrate.ts';
import { chooseRanges } from './choose-range.ts';
import {
  bestCandidate,
  isBetter,
  meanDb,
  notFiniteCount,
  scoreCandidates,
  type ImageScores,
} from './image-scores.ts';
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
  const { candidates, winner, unmeasuredCount } = await raceCandidates({
    ...options,
    images: { ...images, indices: heldOut },
    tables: CANDIDATES.map((method) => rangesBy(method, fitted)),
    reference: observed.heldOutRows,
    onProgress: (done) => onProgress?.(observedCount + done, total),
  });
  return {
    tensors: rangesBy(winner, allStates(observed)),
    selection: {
      method: winner,
      heldOutImageCount: heldOut.length,
      ...(unmeasuredCount === 0 ? {} : { floatNotFiniteImageCount: unmeasuredCount }),
      candidates,
    },
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

interface Race {
  readonly candidates: Candidate[];
  readonly winner: RangeMethod;
  /** Held-out images that decide nothing: the float network's scores are not finite. */
  readonly unmeasuredCount: number;
}

/**
 * The candidates' scores: of two over all held-out images, of the others over the first round, which is
 * enough to see what is far behind. Where both of the two make outputs that are not finite, the others
 * run the rest as well. `reference` holds the float network's rows.
 */
async function raceCandidates(
  options: AutomaticOptions & {
    readonly tables: readonly AutomaticCalibration['tensors'][];
    readonly reference: readonly Float32Array[];
  },
): Promise<Race> {
  const { images, tables, reference, onProgress } = options;
  const { indices } = images;
  const first = evenlySpaced([...indices.keys()], FIRST_ROUND);
  const rest = [...indices.keys()].filter((position) => !first.includes(position));
  const everyone = [...CANDIDATES.keys()];
  return withRangeTrials(options, async (tryTables) => {
    let done = 0;
    const unmeasured = new Set<number>();
    const scores: ImageScores[] = CANDIDATES.map(() => []);
    const run = async (positions: readonly number[], which: readonly number[]): Promise<void> => {
      if (positions.length === 0 || which.length === 0) return;
      const chosen = { ...images, indices: positions.map((position) => indices[position]!) };
      const rows = await tryTables(
        which.map((i) => tables[i]!), // positions in both lists
        chosen,
        (more) => onProgress?.(Math.min(done + more, indices.length), indices.length),
      );
      done += positions.length;
      const expected = positions.map((position) => reference[position]!); // a row a held-out image
      const scored = scoreCandidates(expected, rows);
      for (const [n, i] of which.entries()) scores[i] = [...scores[i]!, ...scored.scores[n]!]; // one each
      for (const [n, position] of positions.entries()) {
        if (scored.unmeasured[n] === true) unmeasured.add(position);
      }
    };
    await run(first, everyone);
    let finalists = [0, 1 + bestCandidate(scores.slice(1))];
    await run(rest, finalists);
    if (finalists.every((i) => notFiniteCount(scores[i]!) > 0)) {
      await run(
        rest,
        everyone.filter((i) => !finalists.includes(i)),
      );
      finalists = [0, 1 + bestCandidate(scores.slice(1))];
    }
    const candidates = CANDIDATES.map((method, i) => candidateOf(method, scores[i]!)); // one each
    const [own = [], other = []] = finalists.map((i) => scores[i]);
    return {
      candidates,
      winner: CANDIDATES[finalists[isBetter(other, own) ? 1 : 0]!]!,
      unmeasuredCount: unmeasured.size,
    };
  });
}

function candidateOf(method: RangeMethod, scores: ImageScores): Candidate {
  const count = notFiniteCount(scores);
  return {
    method,
    sqnrDb: finiteOrNull(meanDb(scores)),
    ...(count === 0 ? {} : { notFiniteImageCount: count }),
  };
}

/** A quarter of the images, at most 12, in their order; all of them where there are fewer than four. */
export function drawHeldOut(indices: readonly number[], seed: number): number[] {
  const count = Math.min(Math.floor(indices.length * HELD_OUT_FRACTION), MOST_HELD_OUT);
  if (count === 0) return [...indices];
  const drawn = new Set(shuffled(indices, createRandom(seed, 'held-out')).slice(0, count));
  return indices.filter((index) => drawn.has(index));
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
