import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { epochEvents } from '../../src/training/history.ts';
import { writeEventFile, type ScalarEvent } from '../../src/training/tensorboard-events.ts';
import type { EpochRecord } from '../../src/training/training-state.ts';

/** More than TensorBoard keeps of a tag by itself, and steps of more than one varint byte. */
const EPOCH_COUNT = 1500;
const STARTED_AT_SECONDS = 1_700_000_000;

export interface TensorboardCheck {
  readonly scalarCount: number;
  readonly tags: readonly string[];
  /** What TensorBoard reads otherwise than it was written; empty: nothing. */
  readonly faults: readonly string[];
}

/** Writes the events of a long training and reads them with the TensorBoard of `python`'s environment. */
export async function checkTensorboardEvents(
  python: string,
  folder: string,
): Promise<TensorboardCheck> {
  const written = Array.from({ length: EPOCH_COUNT }, (_, i) =>
    epochEvents(recordOf(i + 1)),
  ).flat();
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeEventFile(folder, written);
  await installTensorboard(python);
  const script = join(packageRoot(), 'test', 'peers', 'tensorboard_events.py');
  const { stdout } = await execa(python, [script, folder]);
  const read = JSON.parse(stdout) as ReadScalars; // our own script's answer
  const tags = [...new Set(written.map(({ tag }) => tag))];
  const extra = Object.keys(read).filter((tag) => !tags.includes(tag));
  const faults = [
    ...extra.map((tag) => `TensorBoard reads a tag "${tag}" that was not written`),
    ...tags.flatMap((tag) =>
      faultsOf(
        tag,
        written.filter((event) => event.tag === tag),
        read[tag] ?? [],
      ),
    ),
  ];
  return { scalarCount: written.length, tags, faults };
}

/** Step, value and wall time by tag. */
type ReadScalars = Readonly<Record<string, readonly (readonly [number, number, number])[]>>;

function faultsOf(
  tag: string,
  written: readonly ScalarEvent[],
  read: ReadScalars[string],
): string[] {
  if (written.length !== read.length) {
    return [`${tag}: ${written.length} scalars were written, TensorBoard reads ${read.length}`];
  }
  const position = written.findIndex(({ step, value, wallTimeSeconds }, i) => {
    const [readStep, readValue, readTime] = read[i] ?? [];
    // Values are stored as float32, times as float64.
    return readStep !== step || readValue !== Math.fround(value) || readTime !== wallTimeSeconds;
  });
  if (position < 0) return [];
  return [`${tag}: ${JSON.stringify(written[position])} reads as ${String(read[position])}`];
}

async function installTensorboard(python: string): Promise<void> {
  const { exitCode } = await execa(python, ['-c', 'import tensorboard'], { reject: false });
  if (exitCode === 0) return;
  await execa(python, ['-m', 'pip', 'install', '--quiet', 'tensorboard'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Figures like a training's: small, falling, and not exact in float32. */
function recordOf(epoch: number): EpochRecord {
  return {
    epoch,
    learningRate: 1e-4 / epoch,
    imageCount: 344,
    trainLoss: 1.6 / Math.sqrt(epoch),
    trainTop1Fraction: 1 - 0.8 / epoch,
    // Every second epoch without validation images.
    validation:
      epoch % 2 === 0
        ? null
        : { imageCount: 103, loss: 1.7 / Math.sqrt(epoch), top1Fraction: 1 - 0.9 / epoch },
    imagesPerSecond: 25,
    dataWaitFraction: 0.01,
    durationMs: 115_200,
    endedAtSeconds: STARTED_AT_SECONDS + 115.2 * epoch,
  };
}
