/**
 * drq's training against PyTorch's, two threads each, in turns in one run: images/s and peak memory by
 * network and precision; the time that steps wait for photographs; tensors and memory over 500 steps.
 *
 * npm run bench -- training-speed [--architectures mobilenet-v2,resnet50,alexnet]
 *   [--precisions float32,bfloat16] [--batch 32] [--rounds 5] [--steps 4] [--data FOLDER] [--python PATH]
 *   [--measures leaks,waits,speed]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cpuHasBfloat16, machineFingerprint } from '../../src/benchmark/machine.ts';
import { UsageError } from '../../src/diagnostics/errors.ts';
import { ARCHITECTURES, type Architecture } from '../../src/models/network.ts';
import { quantileOfSorted } from '../../src/numeric/quantile.ts';
import { PRECISIONS, usablePrecision, type Precision } from '../../src/training/precision.ts';
import {
  positiveInteger,
  renderRows,
  requiredFolder,
  requiredImages,
  runProgramMain,
  say,
} from '../support/benchmark-program.ts';
import { writeColouredShards } from '../support/coloured-shards.ts';
import { augmentDataset, linkDataset } from '../support/photograph-shards.ts';
import { torchvisionPython } from '../support/torchvision-peer.ts';
import {
  compareTraining,
  startDrq,
  THREADS,
  type TrainingComparison,
} from '../support/training-comparison.ts';
import type { EpochUsage, TrainingRun } from '../support/training-speed-messages.ts';

const MEASURES = ['leaks', 'waits', 'speed'] as const;
const SIZE_PX = 224;
/** Grades of the published data. */
const CLASS_COUNT = 5;
/** drq's images/s over PyTorch's, and what else must hold. */
const SMALLEST_RATIO: Readonly<Record<Precision, Readonly<Record<Architecture, number>>>> = {
  float32: { 'mobilenet-v2': 1.5, resnet18: 1, resnet34: 1, resnet50: 1, alexnet: 1 },
  bfloat16: { 'mobilenet-v2': 0.9, resnet18: 0.9, resnet34: 0.9, resnet50: 0.9, alexnet: 0.9 },
};
const LARGEST_PEAK_RATIO = 1.2;
/** Beyond it PyTorch's threads, which wait for each other in loops, are slowed down more than ours. */
const LARGEST_OTHER_LOAD = 0.3;
const LARGEST_WAIT_FRACTION = 0.05;
/** Of resident memory after the first epoch: V8's heap alone goes up and down by 2 % of this process. */
const LARGEST_GROWTH_FRACTION = 0.03;
/** Steps an epoch and epochs, of which those after the first have 500 steps; trainings, each a process. */
const LEAK_RUN = { stepsPerEpoch: 50, epochs: 11, batchSize: 8, sizePx: 64, trainings: 3 };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      architectures: { type: 'string', default: 'mobilenet-v2,resnet50,alexnet' },
      precisions: { type: 'string', default: PRECISIONS.join(',') },
      batch: { type: 'string', default: '32' },
      rounds: { type: 'string', default: '5' },
      steps: { type: 'string', default: '4' },
      data: { type: 'string' },
      measures: { type: 'string', default: MEASURES.join(',') },
      python: { type: 'string' },
    },
  });
  const architectures = chosen('--architectures', values.architectures, ARCHITECTURES);
  const precisions = chosen('--precisions', values.precisions, PRECISIONS).filter(isUsable);
  const batchSize = positiveInteger('--batch', values.batch);
  const rounds = positiveInteger('--rounds', values.rounds);
  const steps = positiveInteger('--steps', values.steps);
  const measures = chosen('--measures', values.measures, MEASURES);
  const data = values.data === undefined ? null : requiredFolder('--data', values.data);
  const cells = architectures.flatMap((architecture) =>
    precisions.map((precision) => ({ architecture, precision, batchSize })),
  );
  const scratch = await mkdtemp(join(tmpdir(), 'drq-training-speed-'));
  try {
    const leak = measures.includes('leaks') ? await measureLeaks(join(scratch, 'coloured')) : null;
    const waits =
      data === null || !measures.includes('waits') ? [] : await measureWaits(data, scratch, cells);
    const comparisons: TrainingComparison[] = [];
    for (const cell of measures.includes('speed') ? cells : []) {
      const python = await torchvisionPython(values.python);
      const setting = { ...cell, sizePx: SIZE_PX, classCount: CLASS_COUNT };
      comparisons.push(await compareTraining({ setting, python, rounds, steps }));
    }
    await report(comparisons, waits, leak);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function isUsable(precision: Precision): boolean {
  const usable = usablePrecision(precision, cpuHasBfloat16()) === precision;
  if (!usable) say(`${precision} is left out: this CPU has no instructions for it`);
  return usable;
}

function chosen<T extends string>(option: string, text: string, known: readonly T[]): T[] {
  return text.split(',').map((name) => {
    const found = known.find((each) => each === name);
    if (found !== undefined) return found;
    throw new UsageError({
      code: 'usage/invalid-argument',
      message: `${option} must be of ${known.join(', ')}, received "${name}"`,
    });
  });
}

interface LeakResult {
  readonly stepCount: number;
  /** The most of any training. */
  readonly leakedTensors: number;
  /** At the end of each epoch, by training. */
  readonly residentBytes: readonly (readonly number[])[];
  /** Largest after the first epoch over that after the first, less 1, by training. */
  readonly growthFractions: readonly number[];
  readonly medianGrowthFraction: number;
}

/** A small network on small images through the loop of the train stage. */
async function measureLeaks(folder: string): Promise<LeakResult> {
  const { stepsPerEpoch, batchSize, epochs, sizePx, trainings } = LEAK_RUN;
  const stepCount = stepsPerEpoch * (epochs - 1);
  const imagesPerClass = { train: (stepsPerEpoch * batchSize) / 2 };
  await writeColouredShards(folder, { size: sizePx, imagesPerClass });
  const runs: (readonly EpochUsage[])[] = [];
  for (let training = 1; training <= trainings; training += 1) {
    say(`${stepCount} steps of a small network, for leaks: ${training} of ${trainings}`);
    runs.push(
      await trainApart({
        ...{ architecture: 'mobilenet-v2', widthMultiplier: 0.5, precision: 'float32' },
        ...{ batchSize, epochs, shards: folder },
      }),
    );
  }
  const residentBytes = runs.map((usage) => usage.map((epoch) => epoch.residentBytes));
  const growthFractions = residentBytes.map(
    ([first = NaN, ...later]) => Math.max(...later) / first - 1,
  );
  const leaks = runs.map(
    (usage) => (usage.at(-1)?.tensorCount ?? NaN) - (usage[0]?.tensorCount ?? NaN),
  );
  const medianGrowthFraction = quantileOfSorted(
    [...growthFractions].sort((a, b) => a - b),
    0.5,
  );
  const leakedTensors = Math.max(...leaks);
  return { stepCount, leakedTensors, residentBytes, growthFractions, medianGrowthFraction };
}

interface WaitResult {
  readonly architecture: Architecture;
  readonly precision: Precision;
  readonly photographCount: number;
  readonly imagesPerSecond: number;
  /** Of the epoch that waits longest. */
  readonly dataWaitFraction: number;
}

/** Photographs go through the augment stage once, as they do before every training, and from its shards. */
async function measureWaits(
  data: string,
  scratch: string,
  cells: readonly Pick<TrainingRun, 'architecture' | 'precision' | 'batchSize'>[],
): Promise<WaitResult[]> {
  const photographs = await requiredImages(data);
  const dataset = await linkDataset(join(scratch, 'dataset'), photographs);
  const shards = join(scratch, 'shards');
  const seconds = await augmentDataset(dataset, shards, { sizePx: SIZE_PX, cpuCount: THREADS });
  say(`${photographs.length} photographs to shards in ${seconds.toFixed(1)} s`);
  const results: WaitResult[] = [];
  for (const cell of cells) {
    const usage = await trainApart({ ...cell, widthMultiplier: 1, epochs: 2, shards });
    const dataWaitFraction = Math.max(...usage.map((epoch) => epoch.dataWaitFraction));
    const imagesPerSecond = usage.at(-1)?.imagesPerSecond ?? NaN;
    const { architecture, precision } = cell;
    say(`${architecture}, ${precision}: waits ${percent(dataWaitFraction)} % of the time`);
    results.push({
      ...{ architecture, precision, photographCount: photographs.length },
      ...{ imagesPerSecond, dataWaitFraction },
    });
  }
  return results;
}

async function trainApart(run: TrainingRun): Promise<readonly EpochUsage[]> {
  const drq = startDrq();
  try {
    return ((await drq.ask({ do: 'train', ...run })) as { epochs: EpochUsage[] }).epochs; // our worker's answer
  } finally {
    await drq.close();
  }
}

async function report(
  comparisons: readonly TrainingComparison[],
  waits: readonly WaitResult[],
  leak: LeakResult | null,
): Promise<void> {
  const rows = comparisons.map((comparison) => ({
    network: comparison.architecture,
    precision: comparison.precision,
    'drq images/s': comparison.drqImagesPerSecond.toFixed(1),
    'PyTorch images/s': `${comparison.torchImagesPerSecond.toFixed(1)} ${comparison.layout}`,
    'times as fast': describeRatio(comparison),
    'must be': `>= ${smallestRatio(comparison)}`,
    'drq peak GB': (comparison.drqPeakBytes / 1e9).toFixed(2),
    'PyTorch peak GB': (comparison.torchPeakBytes / 1e9).toFixed(2),
    'peak ratio': comparison.peakRatio.toFixed(2),
    'must be ': `<= ${LARGEST_PEAK_RATIO}`,
    'estimate / peak': comparison.estimateRatio.toFixed(2),
    'others % of CPU': percent(comparison.otherBusyFraction),
  }));
  const waitRows = waits.map((wait) => ({
    network: wait.architecture,
    precision: wait.precision,
    'images/s on photographs': wait.imagesPerSecond.toFixed(1),
    'waiting for data %': percent(wait.dataWaitFraction),
    'must be': `<= ${percent(LARGEST_WAIT_FRACTION)}`,
  }));
  const passed =
    comparisons.every(
      (comparison) =>
        comparison.ratio >= smallestRatio(comparison) &&
        comparison.peakRatio <= LARGEST_PEAK_RATIO &&
        comparison.otherBusyFraction <= LARGEST_OTHER_LOAD,
    ) &&
    waits.every(({ dataWaitFraction }) => dataWaitFraction <= LARGEST_WAIT_FRACTION) &&
    (leak === null ||
      (leak.leakedTensors === 0 && leak.medianGrowthFraction <= LARGEST_GROWTH_FRACTION));
  if (comparisons.some(({ otherBusyFraction }) => otherBusyFraction > LARGEST_OTHER_LOAD)) {
    say('the machine was busy with other things: the ratios count for nothing, measure again');
  }
  const machine = await machineFingerprint();
  process.stdout.write(
    [
      ...[rows, waitRows].filter((table) => table.length > 0).map(renderRows),
      ...(leak === null ? [] : [describeLeak(leak)]),
      JSON.stringify({
        ...{ benchmark: 'training-speed', threads: THREADS, sizePx: SIZE_PX, passed, machine },
        ...{ comparisons, waits, leak },
      }),
    ].join('\n') + '\n',
  );
  if (!passed) process.exitCode = 1;
}

function describeLeak({
  stepCount,
  leakedTensors,
  growthFractions,
  medianGrowthFraction,
}: LeakResult): string {
  const [low, high] = [Math.min(...growthFractions), Math.max(...growthFractions)];
  return `tensors left over ${stepCount} steps: ${leakedTensors}; most resident memory after the first epoch over that of the first: ${percent(medianGrowthFraction)} % (median of ${growthFractions.length}, ${percent(low)} to ${percent(high)})`;
}

function smallestRatio({ precision, architecture }: TrainingComparison): number {
  return SMALLEST_RATIO[precision][architecture];
}

function describeRatio({ ratio, ratioInterval }: TrainingComparison): string {
  if (ratioInterval === null) return ratio.toFixed(2);
  const [low, high] = ratioInterval;
  return `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

await runProgramMain(main);
