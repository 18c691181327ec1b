/**
 * What calibration costs: wall time, processor time and peak memory by model, method and number of
 * images, each in a process of its own, in turns. Images are random, since cost does not depend on
 * what they show. Prints a table and, last, one line of JSON.
 *
 * npm run bench -- calibration-cost [--counts 128,1024] [--methods min-max,auto] [--workers 2]
 */
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ImageShards } from '../../src/data/image-shards.ts';
import { exportOnnx } from '../../src/models/export-onnx.ts';
import type { Architecture } from '../../src/models/network.ts';
import { randomWeights } from '../../src/models/weights.ts';
import { buildNetwork } from '../../src/models/zoo.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { calibrateBy } from '../../src/quantization/calibrate-automatically.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { CALIBRATION_METHODS } from '../../src/quantization/choices.ts';

const SIZE_PX = 224;
const ARCHITECTURES: readonly Architecture[] = ['mobilenet-v2', 'resnet50'];

interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMemoryMb: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      counts: { type: 'string', default: '128,1024' },
      methods: { type: 'string', default: 'min-max,mse,auto' },
      workers: { type: 'string', default: '2' },
      measure: { type: 'string' },
    },
  });
  if (values.measure !== undefined) {
    console.log(JSON.stringify(await measure(JSON.parse(values.measure) as Request)));
    return;
  }
  const counts = values.counts.split(',').map(Number);
  const folder = await mkdtemp(join(tmpdir(), 'drq-calibration-cost-'));
  const rows = [];
  try {
    await writeImages(folder, Math.max(...counts));
    for (const architecture of ARCHITECTURES) await writeNetwork(architecture, folder);
    for (const count of counts) {
      for (const method of values.methods.split(',')) {
        for (const architecture of ARCHITECTURES) {
          console.error(`${architecture} ${method} ${count}`);
          const request = { folder, architecture, method, count, workers: Number(values.workers) };
          rows.push({ architecture, method, count, ...(await measureApart(request)) });
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.table(rows);
  console.log(JSON.stringify({ benchmark: 'calibration-cost', workers: values.workers, rows }));
}

interface Request {
  readonly folder: string;
  readonly architecture: Architecture;
  readonly method: string;
  readonly count: number;
  readonly workers: number;
}

/** In a process of its own: peak memory is a property of a process. */
async function measureApart(request: Request): Promise<Cost> {
  const program = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [program, '--measure', JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of child.stdout) output += String(chunk);
  return JSON.parse(output) as Cost; // printed by `main` of the same file
}

async function measure({ folder, architecture, method, count, workers }: Request): Promise<Cost> {
  const known = CALIBRATION_METHODS.find((name) => name === method);
  if (known === undefined) throw new Error(`no method ${method}`);
  const start = performance.now();
  await calibrateBy({
    model: prepareModel(await readOnnx(join(folder, `${architecture}.onnx`))),
    images: { folder, split: 'train', indices: Array.from({ length: count }, (_, i) => i) },
    method: known,
    percentile: 99.999,
    seed: 0,
    workerCount: workers,
    batchSize: 1,
    scratchPath: folder,
  });
  const { user, system } = process.cpuUsage();
  // Threads share the process, so this is all workers' memory too. Linux only.
  const status = await readFile('/proc/self/status', 'utf8');
  return {
    seconds: (performance.now() - start) / 1000,
    cpuSeconds: (user + system) / 1e6,
    peakMemoryMb: Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1000,
  };
}

async function writeNetwork(architecture: Architecture, folder: string): Promise<void> {
  const network = buildNetwork({
    architecture,
    variant: 'paper',
    widthMultiplier: 1,
    padding: 'torch',
    batchNorm: 'standard',
    dropout: 0,
    classCount: 1000,
    imageSize: SIZE_PX,
  });
  const model = exportOnnx(network, randomWeights(network, 1, 'he'), {
    classes: [],
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
  });
  await writeOnnx(join(folder, `${architecture}.onnx`), model);
}

async function writeImages(folder: string, count: number): Promise<void> {
  const random = createRandom(1, 'calibration-cost');
  const file = await open(join(folder, 'images.bin'), 'w');
  const pixels = Uint8Array.from({ length: SIZE_PX * SIZE_PX * 3 }, () => 256 * random.next());
  for (let n = 0; n < count; n += 1) {
    pixels.copyWithin(0, 999);
    await file.write(pixels);
  }
  await file.close();
  const empty = { entries: [], files: [] };
  const shards: ImageShards = {
    format: 1,
    width: SIZE_PX,
    height: SIZE_PX,
    channels: 3,
    imagesPerShard: count,
    classes: ['any'],
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    splits: {
      train: {
        entries: Array.from({ length: count }, (_, i) => ({ id: String(i), label: 0, copy: 0 })),
        files: ['images.bin'],
      },
      validation: empty,
      test: empty,
    },
  };
  await writeFile(join(folder, 'images.json'), JSON.stringify(shards));
}

await main();
