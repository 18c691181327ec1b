/**
 * Exported ONNX files in onnxruntime against the networks' own outputs, on photographs; all networks
 * with random weights whose batch norms have the statistics of the images.
 *
 * npm run bench -- export-fidelity --data FOLDER [--count 32]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import type { Rank } from '@tensorflow/tfjs-node';
import { NORMALIZATION_PRESETS } from '../../src/data/normalization-presets.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { exportOnnx } from '../../src/models/export-onnx.ts';
import { parameterCount, type NetworkOptions } from '../../src/models/network.ts';
import { randomWeights } from '../../src/models/weights.ts';
import { buildNetwork } from '../../src/models/zoo.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';
import { loadTensorflow, type Tensorflow } from '../../src/runtime/tensorflow.ts';
import { USUAL_EXPORT_ERROR, relativeDifference } from '../../src/training/export-checked-onnx.ts';
import {
  positiveInteger,
  requiredFolder,
  requiredImages,
  renderRows,
  runProgramMain,
  say,
} from '../support/benchmark-program.ts';
import { createNetworkRunner, type NetworkRunner } from '../../src/training/network-runner.ts';

const SIZE_PX = 224;
const BATCH_SIZE = 8;
/** Training passes that move the batch norms' averages 1 - 0.9^20 = 88 % of the way to the images'. */
const STATISTICS_PASSES = 20;
const NORMALIZATION = NORMALIZATION_PRESETS.paper;
const NETWORKS: readonly (Partial<NetworkOptions> & Pick<NetworkOptions, 'architecture'>)[] = [
  { architecture: 'alexnet', variant: 'paper' },
  { architecture: 'mobilenet-v2' },
  { architecture: 'resnet18' },
  { architecture: 'resnet34' },
  { architecture: 'resnet50' },
];

interface Fidelity {
  readonly network: string;
  readonly parameterCount: number;
  readonly imageCount: number;
  /** max |onnx - network| / max |network| over all logits of all images. */
  readonly relativeError: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { data: { type: 'string' }, count: { type: 'string', default: '32' } },
  });
  const files = await requiredImages(requiredFolder('--data', values.data));
  const images = await readImages(files, positiveInteger('--count', values.count));
  const tf = await loadTensorflow();
  const results: Fidelity[] = [];
  for (const changes of NETWORKS) {
    say(`${changes.architecture}: ${images.length} photographs`);
    results.push(await measure(tf, changes, images));
  }
  console.log(
    renderRows(
      results.map(({ relativeError, ...rest }) => ({
        ...rest,
        relativeError: relativeError.toExponential(2),
      })),
    ),
  );
  const passed = results.every(({ relativeError }) => relativeError <= USUAL_EXPORT_ERROR);
  console.log(
    JSON.stringify({ benchmark: 'export-fidelity', target: USUAL_EXPORT_ERROR, passed, results }),
  );
  if (!passed) process.exitCode = 1;
}

/** Normalized images, each [H, W, 3], evenly spaced over the folder's files. */
async function readImages(files: readonly string[], count: number): Promise<Float32Array[]> {
  const step = Math.max(1, Math.floor(files.length / count));
  const chosen = files.filter((_, index) => index % step === 0).slice(0, count);
  return Promise.all(
    chosen.map(async (file) => {
      const pixels = await sharp(file).resize(SIZE_PX, SIZE_PX).removeAlpha().raw().toBuffer();
      const { mean, std } = NORMALIZATION;
      return Float32Array.from(pixels, (level, i) => {
        const channel = (i % 3) as 0 | 1 | 2; // three channels, interleaved
        return (level / 255 - mean[channel]) / std[channel];
      });
    }),
  );
}

async function measure(
  tf: Tensorflow,
  changes: Partial<NetworkOptions>,
  images: readonly Float32Array[],
): Promise<Fidelity> {
  const network = buildNetwork({
    architecture: 'mobilenet-v2',
    ...{ variant: 'paper', widthMultiplier: 1, padding: 'torch', batchNorm: 'standard' },
    ...{ dropout: 0, classCount: 7, imageSize: SIZE_PX },
    ...changes,
  });
  const runner = createNetworkRunner(tf, network, randomWeights(network, 0));
  const batches = Array.from({ length: Math.ceil(images.length / BATCH_SIZE) }, (_, index) =>
    images.slice(index * BATCH_SIZE, (index + 1) * BATCH_SIZE),
  );
  for (let pass = 0; pass < STATISTICS_PASSES; pass += 1) {
    moveStatistics(tf, runner, batches[pass % batches.length] ?? []);
  }
  const folder = await mkdtemp(join(tmpdir(), 'drq-export-fidelity-'));
  try {
    const path = join(folder, 'model.onnx');
    const details = { classes: ['0', '1', '2', '3', '4', '5', '6'], normalization: NORMALIZATION };
    await writeOnnx(path, exportOnnx(network, runner.readWeights(), details));
    const [expected, actual] = await logitsOfBoth(tf, runner, path, batches);
    return {
      network: network.options.architecture,
      parameterCount: parameterCount(network),
      imageCount: images.length,
      relativeError: relativeDifference(expected, actual),
    };
  } finally {
    runner.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

function moveStatistics(
  tf: Tensorflow,
  runner: NetworkRunner,
  images: readonly Float32Array[],
): void {
  const x = tf.tensor4d(joined(images), [images.length, SIZE_PX, SIZE_PX, 3]);
  const targets = tf.fill<Rank.R2>([images.length, 7], 1 / 7);
  const { gradients } = runner.trainingPass(x, targets, { dropoutSeed: 0 });
  tf.dispose([x, targets, ...gradients.values()]);
}

async function logitsOfBoth(
  tf: Tensorflow,
  runner: NetworkRunner,
  path: string,
  batches: readonly (readonly Float32Array[])[],
): Promise<[number[], number[]]> {
  const session = await openOnnxSession(path, { threadCount: 2 });
  const expected: number[] = [];
  const actual: number[] = [];
  for (const images of batches) {
    const x = tf.tensor4d(joined(images), [images.length, SIZE_PX, SIZE_PX, 3]);
    const logits = runner.predict(x);
    const imagesNchw = x.transpose([0, 3, 1, 2]);
    expected.push(...logits.dataSync());
    const data = imagesNchw.dataSync<'float32'>();
    const outputs = await session.run({ input: { data, dims: imagesNchw.shape } });
    actual.push(...Array.from(outputs['logits']?.data ?? [], Number));
    tf.dispose([x, logits, imagesNchw]);
  }
  await session.release();
  return [expected, actual];
}

function joined(images: readonly Float32Array[]): Float32Array {
  const size = SIZE_PX * SIZE_PX * 3;
  const result = new Float32Array(images.length * size);
  images.forEach((image, index) => result.set(image, index * size));
  return result;
}

await runProgramMain(main);
