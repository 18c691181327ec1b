/**
 * Our augment stage against torchvision's DataLoader with Pillow, two workers each, alternating in one
 * run; pixels compared with Pillow's; peak memory for N and 4N images.
 *
 * npm run bench -- preprocessing --data FOLDER [--rounds 5] [--python PATH]
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { openShardReader } from '../../src/data/image-shards.ts';
import {
  positiveInteger,
  requiredFolder,
  requiredImages,
  runProgramMain,
  say,
} from '../support/benchmark-program.ts';
import { augmentDataset, linkDataset } from '../support/photograph-shards.ts';
import { startTorchvision, type TorchvisionPeer } from '../support/torchvision-peer.ts';

const SIZE_PX = 224;
const WORKERS = 2;
const SHARDS = { sizePx: SIZE_PX, cpuCount: WORKERS };
const ORIGINAL_SIZE = { width: 4288, height: 2848 };
const ENLARGED_COUNT = 24;
/** How often the enlarged images are gone through in one round, so that start-up does not dominate. */
const ENLARGED_REPEATS = 8;

interface Comparison {
  readonly name: string;
  readonly imageCount: number;
  readonly drqImagesPerSecond: number;
  readonly torchvisionImagesPerSecond: number;
  readonly ratioMedian: number;
  readonly ratioLowest: number;
  readonly ratioHighest: number;
  readonly meanAbsoluteDifference: number;
  readonly target: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      python: { type: 'string' },
      'memory-of': { type: 'string' },
    },
  });
  // The benchmark starts itself for the memory of one run: a peak cannot be reset in one process.
  if (values['memory-of'] !== undefined) {
    await augmentDataset(values['memory-of'], `${values['memory-of']}-shards`, SHARDS);
    console.log(await readPeakKilobytes());
    return;
  }
  const data = requiredFolder('--data', values.data);
  const rounds = positiveInteger('--rounds', values.rounds);
  const folder = await mkdtemp(join(tmpdir(), 'drq-preprocessing-'));
  try {
    await compareAll(folder, data, rounds, values.python);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compareAll(
  folder: string,
  data: string,
  rounds: number,
  python: string | undefined,
): Promise<void> {
  const originals = await requiredImages(data);
  say(`${originals.length} photographs; enlarging some`);
  const enlarged = await enlarge(originals, join(folder, 'enlarged'));
  const repeated = Array.from({ length: ENLARGED_REPEATS }, () => enlarged).flat();
  const peer = await startTorchvision(python);
  const comparisons: Comparison[] = [];
  try {
    const sets = [
      { name: 'as given', paths: originals, target: 1 },
      { name: '4288 x 2848', paths: repeated, target: 10 },
    ];
    for (const set of sets) comparisons.push(await compare({ ...set, folder, rounds, peer }));
  } finally {
    peer.close();
  }
  say('measuring memory');
  const memory = await measureMemory(folder, originals);
  printTable(comparisons, memory);
  const passed = comparisons.every(({ ratioMedian, target }) => ratioMedian >= target);
  console.log(
    JSON.stringify({ benchmark: 'preprocessing', workers: WORKERS, passed, comparisons, memory }),
  );
  if (!passed) process.exitCode = 1;
}

async function compare(options: {
  readonly name: string;
  readonly paths: readonly string[];
  readonly target: number;
  readonly folder: string;
  readonly rounds: number;
  readonly peer: TorchvisionPeer;
}): Promise<Comparison> {
  const { name, paths, folder, rounds, peer, target } = options;
  const dataset = await linkDataset(join(folder, `dataset-${target}`), paths);
  const shards = join(folder, `shards-${target}`);
  const ours: number[] = [];
  const theirs: number[] = [];
  // Round 0 warms the file cache and both programs up and does not count.
  for (let round = 0; round <= rounds; round += 1) {
    const seconds = await augmentDataset(dataset, shards, SHARDS);
    const peerSeconds = await peer.load(paths, WORKERS);
    say(
      `${name}, round ${round}: drq ${rate(paths, seconds)}, torchvision ${rate(paths, peerSeconds)} images/s`,
    );
    if (round === 0) continue;
    ours.push(seconds);
    theirs.push(peerSeconds);
  }
  const ratios = ours.map((seconds, i) => theirs[i]! / seconds).sort((a, b) => a - b); // same length
  const unique = [...new Set(paths)];
  return {
    name,
    imageCount: paths.length,
    drqImagesPerSecond: paths.length / median(ours),
    torchvisionImagesPerSecond: paths.length / median(theirs),
    ratioMedian: median(ratios),
    ratioLowest: ratios[0] ?? NaN,
    ratioHighest: ratios.at(-1) ?? NaN,
    meanAbsoluteDifference: await differenceToPillow({ paths: unique, shards, folder, peer }),
    target,
  };
}

/** Mean absolute difference to Pillow's pixels, in grey levels, over the first images of the shards. */
async function differenceToPillow(options: {
  readonly paths: readonly string[];
  readonly shards: string;
  readonly folder: string;
  readonly peer: TorchvisionPeer;
}): Promise<number> {
  const { paths, shards, folder, peer } = options;
  const target = join(folder, 'pillow.bin');
  await peer.writeReference(paths, target);
  const reader = await openShardReader(shards);
  const reference = await open(target, 'r');
  const byteCount = SIZE_PX * SIZE_PX * 3;
  const ours = new Uint8Array(byteCount);
  const theirs = new Uint8Array(byteCount);
  let sum = 0;
  for (let i = 0; i < paths.length; i += 1) {
    await reader.read('train', i, ours);
    await reference.read(theirs, 0, byteCount, i * byteCount);
    for (let p = 0; p < byteCount; p += 1) sum += Math.abs(ours[p]! - theirs[p]!); // same size
  }
  await reader.close();
  await reference.close();
  return sum / (paths.length * byteCount);
}

async function enlarge(originals: readonly string[], folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const step = Math.max(1, Math.floor(originals.length / ENLARGED_COUNT));
  const chosen = originals.filter((_, i) => i % step === 0).slice(0, ENLARGED_COUNT);
  const enlarged: string[] = [];
  for (const [i, path] of chosen.entries()) {
    const target = join(folder, `${i}.jpg`);
    await sharp(path)
      .resize({ ...ORIGINAL_SIZE, fit: 'fill' })
      .jpeg({ quality: 90 })
      .toFile(target);
    enlarged.push(target);
  }
  return enlarged;
}

/** Peak resident bytes of a process that runs the stage over the images once, and four times. */
async function measureMemory(
  folder: string,
  paths: readonly string[],
): Promise<{ imageCount: number; peakBytes: number; peakBytesOfFourfold: number }> {
  const peakOf = async (repeats: number): Promise<number> => {
    const all = Array.from({ length: repeats }, () => paths).flat();
    const dataset = await linkDataset(join(folder, `memory-${repeats}`), all);
    const result = spawnSync(
      process.execPath,
      [fileURLToPath(import.meta.url), '--memory-of', dataset],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    return Number(result.stdout) * 1024;
  };
  return {
    imageCount: paths.length,
    peakBytes: await peakOf(1),
    peakBytesOfFourfold: await peakOf(4),
  };
}

/** Peak resident memory of this process. `maxRSS` would not do: a child inherits its parent's. */
async function readPeakKilobytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const peak = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
  return peak === undefined ? process.resourceUsage().maxRSS : Number(peak);
}

function printTable(
  comparisons: readonly Comparison[],
  memory: Awaited<ReturnType<typeof measureMemory>>,
): void {
  console.log(
    'photographs    images  drq/s  torchvision/s  ratio (range)          target  grey levels',
  );
  for (const row of comparisons) {
    const range = `${row.ratioMedian.toFixed(2)} (${row.ratioLowest.toFixed(2)}-${row.ratioHighest.toFixed(2)})`;
    console.log(
      [
        row.name.padEnd(14),
        String(row.imageCount).padStart(6),
        row.drqImagesPerSecond.toFixed(0).padStart(6),
        row.torchvisionImagesPerSecond.toFixed(0).padStart(14),
        ` ${range.padEnd(22)}`,
        `>= ${row.target}`.padEnd(7),
        row.meanAbsoluteDifference.toFixed(2),
      ].join(' '),
    );
  }
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  console.log(
    `peak memory: ${megabytes(memory.peakBytes)} MB for ${memory.imageCount} images, ${megabytes(memory.peakBytesOfFourfold)} MB for ${memory.imageCount * 4}`,
  );
}

function rate(paths: readonly string[], seconds: number): string {
  return (paths.length / seconds).toFixed(0);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

await runProgramMain(main);
