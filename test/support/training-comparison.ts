import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { train } from '../../stages/train/stage.ts';
import { watchLoad } from '../../src/benchmark/machine.ts';
import { speedup, type PairedBlock } from '../../src/benchmark/statistics.ts';
import type { Architecture } from '../../src/models/network.ts';
import { quantileOfSorted } from '../../src/numeric/quantile.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import type { Precision } from '../../src/training/precision.ts';
import { say } from './benchmark-program.ts';
import { startLineProcess, type LineProcess } from './line-process.ts';
import type {
  Prepared,
  ProcessUsage,
  StepTimes,
  TrainingSetting,
} from './training-speed-messages.ts';

export const THREADS = 2;
const LAYOUTS = ['default', 'channels-last'] as const;
type Layout = (typeof LAYOUTS)[number];
/** Of them the first makes buffers and chooses kernels, the second finds the allocator filled. */
const WARM_UP_STEPS = 2;
/** Of both layouts; the fastest step counts. */
const LAYOUT_ROUNDS = 3;

export interface ComparisonOptions {
  readonly setting: TrainingSetting;
  /** Interpreter with torch and torchvision. */
  readonly python: string;
  readonly rounds: number;
  /** Of each program in a round. */
  readonly steps: number;
}

/** drq's training beside PyTorch's, of the same network on batches of the same size. */
export interface TrainingComparison {
  readonly architecture: Architecture;
  readonly precision: Precision;
  readonly batchSize: number;
  /** Of PyTorch: the faster of both in float32, channels-last in bfloat16. */
  readonly layout: Layout;
  readonly torchVersion: string;
  readonly drqImagesPerSecond: number;
  readonly torchImagesPerSecond: number;
  /** drq's images/s over PyTorch's: of the medians of all steps, with a bootstrap interval over rounds. */
  readonly ratio: number;
  readonly ratioInterval: readonly [number, number] | null;
  readonly drqPeakBytes: number;
  readonly torchPeakBytes: number;
  readonly peakRatio: number;
  /** What the train stage would have told before the training, over drq's peak. */
  readonly estimateRatio: number;
  /** Resident memory of drq's process after the last round over that after the first, less 1. */
  readonly drqResidentGrowthFraction: number;
  /** Of all cores' time while the rounds ran, what neither of the two used. */
  readonly otherBusyFraction: number;
  readonly rounds: readonly PairedBlock[];
}

/**
 * Both programs stay loaded and train in turns, a few steps each; which is first changes from round to
 * round, so that a machine that slows down slows both.
 */
export async function compareTraining(options: ComparisonOptions): Promise<TrainingComparison> {
  const { setting, python } = options;
  const { architecture, precision, batchSize } = setting;
  const layout = precision === 'bfloat16' ? 'channels-last' : await fasterLayout(setting, python);
  const drq = startDrq();
  const torch = startTorch(python);
  try {
    const { estimatedBytes } = (await drq.ask({ do: 'prepare', ...setting })) as Prepared; // our worker's answer
    const { version } = (await torch.ask({ do: 'prepare', ...setting, layout })) as {
      version: string; // our own script's answer, as those below
    };
    for (const program of [drq, torch]) await timeSteps(program, WARM_UP_STEPS);
    const { rounds, otherBusyFraction, drqResidentGrowthFraction } = await alternate(
      { drq, torch },
      options,
    );
    const { ratio, interval } = speedup(rounds, createRandom(0, 'training-speed'));
    const drqPeakBytes = (await usageOf(drq)).peakBytes;
    const torchPeakBytes = (await usageOf(torch)).peakBytes;
    return {
      ...{ architecture, precision, batchSize, layout, torchVersion: version },
      drqImagesPerSecond: (1000 * batchSize) / median(rounds.flatMap(({ modelMs }) => modelMs)),
      torchImagesPerSecond:
        (1000 * batchSize) / median(rounds.flatMap(({ baselineMs }) => baselineMs)),
      ...{ ratio, ratioInterval: interval },
      ...{ drqPeakBytes, torchPeakBytes, peakRatio: drqPeakBytes / torchPeakBytes },
      estimateRatio: estimatedBytes / drqPeakBytes,
      ...{ drqResidentGrowthFraction, otherBusyFraction, rounds },
    };
  } finally {
    await Promise.all([drq.close(), torch.close()]);
  }
}

/** In the environment and with the flags of the train stage's process. */
export function startDrq(): LineProcess {
  const here = dirname(fileURLToPath(import.meta.url));
  return startLineProcess({
    name: 'drq',
    program: process.execPath,
    programArguments: [...(train.nodeFlags ?? []), join(here, 'training-speed-worker.js')],
    environment: train.environment?.({ cpuCount: THREADS }) ?? {},
  });
}

function startTorch(python: string): LineProcess {
  return startLineProcess({
    name: 'PyTorch',
    program: python,
    programArguments: [join(packageRoot(), 'test', 'benchmarks', 'training_speed.py')],
    environment: { OMP_NUM_THREADS: String(THREADS) },
  });
}

/** By a few steps in turns, in processes of their own, so that neither adds to the other's peak memory. */
async function fasterLayout(setting: TrainingSetting, python: string): Promise<Layout> {
  const candidates = LAYOUTS.map((layout) => ({ layout, torch: startTorch(python) }));
  const times: { layout: Layout; milliseconds: number }[] = [];
  try {
    for (const { layout, torch } of candidates) {
      await torch.ask({ do: 'prepare', ...setting, layout });
      await timeSteps(torch, WARM_UP_STEPS);
    }
    for (let round = 0; round < LAYOUT_ROUNDS; round += 1) {
      for (const { layout, torch } of candidates) {
        times.push({ layout, milliseconds: Math.min(...(await timeSteps(torch, 1))) });
      }
    }
  } finally {
    await Promise.all(candidates.map(({ torch }) => torch.close()));
  }
  times.sort((a, b) => a.milliseconds - b.milliseconds);
  const told = LAYOUTS.map((layout) => {
    const best = times.find((time) => time.layout === layout)?.milliseconds ?? NaN;
    return `${layout} ${(best / 1000).toFixed(2)} s a step`;
  });
  say(`${setting.architecture}, PyTorch: ${told.join(', ')}`);
  return times[0]?.layout ?? 'channels-last';
}

interface Programs {
  readonly drq: LineProcess;
  readonly torch: LineProcess;
}

async function alternate(
  { drq, torch }: Programs,
  { setting, rounds: roundCount, steps }: ComparisonOptions,
): Promise<Pick<TrainingComparison, 'rounds' | 'otherBusyFraction' | 'drqResidentGrowthFraction'>> {
  const cpuSeconds = async (): Promise<number> =>
    (await usageOf(drq)).cpuSeconds + (await usageOf(torch)).cpuSeconds;
  const cpuBefore = await cpuSeconds();
  const startedAt = performance.now();
  const readLoad = watchLoad();
  const rounds: PairedBlock[] = [];
  const residentBytes: number[] = [];
  for (let round = 0; round < roundCount; round += 1) {
    const baselineFirst = round % 2 === 0 ? await timeSteps(torch, steps) : null;
    const modelMs = await timeSteps(drq, steps);
    const baselineMs = baselineFirst ?? (await timeSteps(torch, steps));
    rounds.push({ baselineMs, modelMs });
    residentBytes.push((await usageOf(drq)).residentBytes);
    const rate = (milliseconds: readonly number[]): string =>
      ((1000 * setting.batchSize) / median(milliseconds)).toFixed(1);
    say(
      `${setting.architecture}, ${setting.precision}, round ${round + 1} of ${roundCount}: drq ${rate(modelMs)}, PyTorch ${rate(baselineMs)} images/s`,
    );
  }
  const load = readLoad();
  const machineSeconds = ((performance.now() - startedAt) / 1000) * cpus().length;
  const measuredFraction = ((await cpuSeconds()) - cpuBefore) / machineSeconds;
  return {
    rounds,
    otherBusyFraction: Math.max(0, load.otherBusyFraction - measuredFraction),
    drqResidentGrowthFraction: (residentBytes.at(-1) ?? NaN) / (residentBytes[0] ?? NaN) - 1,
  };
}

async function timeSteps(program: LineProcess, count: number): Promise<readonly number[]> {
  return ((await program.ask({ do: 'steps', count })) as StepTimes).milliseconds;
}

async function usageOf(program: LineProcess): Promise<ProcessUsage> {
  return (await program.ask({ do: 'usage' })) as ProcessUsage;
}

function median(values: readonly number[]): number {
  return quantileOfSorted(Float64Array.from(values).sort(), 0.5);
}
