/**
 * Our int8 against float32 in onnxruntime, the three networks at 224 x 224; random weights, one thread,
 * batch 1, runs of both in turns, networks in turns too; sizes and what stayed float.
 *
 * npm run bench -- int8-speed [--rounds 5] [--images 8]
 */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ImageShards } from '../../src/data/image-shards.ts';
import { exportOnnx } from '../../src/models/export-onnx.ts';
import type { Architecture } from '../../src/models/network.ts';
import { randomWeights } from '../../src/models/weights.ts';
import { buildNetwork } from '../../src/models/zoo.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { calibrate } from '../../src/quantization/calibrate.ts';
import { timeModels, type Timing } from '../../src/quantization/compare-models.ts';
import { readOptimizedGraph, type OptimizedGraph } from '../../src/quantization/optimized-graph.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { quantizeCalibrated } from '../../src/quantization/quantize-calibrated.ts';
import { positiveInteger, renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';

const SIZE_PX = 224;
const TARGETS = {
  alexnet: { speedup: 2.8, sizeRatio: 3.8 },
  'mobilenet-v2': { speedup: 2, sizeRatio: 3.4 },
  resnet50: { speedup: 3.2, sizeRatio: 3.8 },
} as const satisfies Partial<Record<Architecture, { speedup: number; sizeRatio: number }>>;
type TimedArchitecture = keyof typeof TARGETS;

interface Subject {
  readonly architecture: TimedArchitecture;
  readonly floatPath: string;
  readonly quantizedPath: string;
  readonly optimized: OptimizedGraph;
  readonly quantizeSeconds: number;
  readonly timings: Timing[];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      images: { type: 'string', default: '8' },
    },
  });
  const imageCount = positiveInteger('--images', values.images);
  const roundCount = positiveInteger('--rounds', values.rounds);
  const folder = await mkdtemp(join(tmpdir(), 'drq-int8-speed-'));
  try {
    const images = await writeImages(folder, imageCount);
    const subjects: Subject[] = [];
    for (const architecture of Object.keys(TARGETS) as TimedArchitecture[]) {
      say(`preparing ${architecture}`);
      subjects.push(await prepareSubject(architecture, folder, images));
    }
    for (let round = 0; round < roundCount; round += 1) {
      for (const subject of subjects) subject.timings.push(await timeModels(subject, images));
      say(`round ${round + 1} of ${values.rounds}`);
    }
    await report(subjects);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Smooth coloured blotches: what a network sees of photographs, at no cost of data. */
async function writeImages(folder: string, count: number): Promise<ImageSelection> {
  const random = createRandom(1, 'int8-speed');
  const pixels = new Uint8Array(count * SIZE_PX * SIZE_PX * 3); // [N, H, W, 3]
  let at = 0;
  for (let n = 0; n < count; n += 1) {
    const waves = Array.from({ length: 9 }, () => random.next() * 0.15);
    for (let y = 0; y < SIZE_PX; y += 1) {
      for (let x = 0; x < SIZE_PX; x += 1) {
        for (let c = 0; c < 3; c += 1) {
          const wave = Math.sin(x * waves[3 * c]! + y * waves[3 * c + 1]! + 40 * waves[3 * c + 2]!);
          pixels[at] = 128 + 100 * wave + 20 * random.next(); // at counts every value once
          at += 1;
        }
      }
    }
  }
  await writeFile(join(folder, 'images.bin'), pixels);
  const indices = Array.from({ length: count }, (_, i) => i);
  const empty = { entries: [], files: [] };
  const shards: ImageShards = {
    format: 1,
    width: SIZE_PX,
    height: SIZE_PX,
    channels: 3,
    imagesPerShard: count,
    classes: ['any'],
    normalization: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    splits: {
      train: {
        entries: indices.map((i) => ({ id: String(i), label: 0, copy: 0 })),
        files: ['images.bin'],
      },
      validation: empty,
      test: empty,
    },
  };
  await writeFile(join(folder, 'images.json'), JSON.stringify(shards));
  return { folder, split: 'train', indices };
}

async function prepareSubject(
  architecture: TimedArchitecture,
  folder: string,
  images: ImageSelection,
): Promise<Subject> {
  const network = buildNetwork({
    architecture,
    variant: 'paper',
    widthMultiplier: 1,
    padding: 'torch',
    batchNorm: 'standard',
    dropout: 0,
    classCount: architecture === 'mobilenet-v2' ? 1000 : 7,
    imageSize: SIZE_PX,
  });
  const model = exportOnnx(network, randomWeights(network, 1, 'he'), {
    classes: [],
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
  });
  const floatPath = join(folder, `${architecture}.onnx`);
  const quantizedPath = join(folder, `${architecture}-int8.onnx`);
  await writeOnnx(floatPath, model);
  const start = performance.now();
  const shared = { images, batchSize: 1, workerCount: 2, scratchPath: folder };
  const prepared = prepareModel(model);
  const tensors = await calibrate({ model: prepared, method: 'mse', percentile: 100, ...shared });
  const quantized = await quantizeCalibrated({
    readModel: () => Promise.resolve(model),
    table: { tensors },
    settings: {
      granularity: 'per-channel',
      weightRange: 'max',
      target: 'avx2',
      firstConvolution: 'pad',
    },
    ...shared,
  });
  await writeOnnx(quantizedPath, quantized.model);
  const quantizeSeconds = (performance.now() - start) / 1000;
  const optimized = await readOptimizedGraph(quantizedPath, folder, quantized.plan.floatNodes);
  return { architecture, floatPath, quantizedPath, optimized, quantizeSeconds, timings: [] };
}

async function report(subjects: readonly Subject[]): Promise<void> {
  const rows = [];
  for (const { architecture, floatPath, quantizedPath, optimized, ...more } of subjects) {
    const speedups = more.timings.map(({ speedup }) => speedup).sort((a, b) => a - b);
    const fastest = more.timings.map(({ fastestSpeedup }) => fastestSpeedup).sort((a, b) => a - b);
    const middle = Math.floor(speedups.length / 2);
    const sizeBytes = (await stat(quantizedPath)).size;
    const floatSizeBytes = (await stat(floatPath)).size;
    rows.push({
      architecture,
      floatLatencyMs: Math.min(...more.timings.map(({ floatLatencyMs }) => floatLatencyMs)),
      latencyMs: Math.min(...more.timings.map(({ latencyMs }) => latencyMs)),
      speedupMedian: speedups[middle],
      speedupLowest: speedups[0],
      speedupHighest: speedups.at(-1),
      fastestSpeedupMedian: fastest[middle],
      speedupTarget: TARGETS[architecture].speedup,
      floatSizeBytes,
      sizeBytes,
      sizeRatio: floatSizeBytes / sizeBytes,
      sizeRatioTarget: TARGETS[architecture].sizeRatio,
      floatOperatorCount: optimized.floatNodes.length,
      operators: optimized.operators,
      quantizeSeconds: more.quantizeSeconds,
    });
  }
  console.log(
    renderRows(
      rows.map((row) => ({
        network: row.architecture,
        'fp32 ms': row.floatLatencyMs.toFixed(2),
        'int8 ms': row.latencyMs.toFixed(2),
        'speed-up': `${row.speedupMedian?.toFixed(2)} (${row.speedupLowest?.toFixed(2)} to ${row.speedupHighest?.toFixed(2)})`,
        'of fastest runs': row.fastestSpeedupMedian?.toFixed(2) ?? '',
        'must be': row.speedupTarget,
        'size ratio': row.sizeRatio.toFixed(2),
        'size must be': row.sizeRatioTarget,
        'float operators': row.floatOperatorCount,
      })),
    ),
  );
  const passed = rows.every(
    (row) => (row.speedupMedian ?? 0) >= row.speedupTarget && row.sizeRatio >= row.sizeRatioTarget,
  );
  console.log(JSON.stringify({ benchmark: 'int8-speed', threads: 1, passed, rows }));
  if (!passed) process.exitCode = 1;
}

await runProgramMain(main);
