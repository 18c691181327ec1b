/**
 * What each correction of the quantizer brings: SQNR of the logits (mean over images), agreement with
 * float32 and seconds, each step added to those before it. Calibrated on 128 evenly spaced photographs
 * of one folder, tested on all of another.
 *
 * npm run bench -- corrections --model MODEL [--model MODEL …] --data FOLDER --test FOLDER [--preset tf]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Normalization } from '../../src/data/image-shards.ts';
import { listImageFiles } from '../../src/data/list-image-files.ts';
import { argmax } from '../../src/metrics/ranking.ts';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { classifierSignature } from '../../src/onnx/model-signature.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { collectRows } from '../../src/quantization/compare-models.ts';
import { equalizeAndCalibrate } from '../../src/quantization/equalize-and-calibrate.ts';
import { inputFormFor } from '../../src/quantization/input-form.ts';
import { PRESETS } from '../../src/quantization/normalization-choice.ts';
import { packImages } from '../../src/quantization/pack-images.ts';
import { quantizeCalibrated } from '../../src/quantization/quantize-calibrated.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';
import { requiredFolder, runProgramMain, say } from '../support/benchmark-program.ts';
import type {
  Equalization,
  BiasCorrection,
  InputRounding,
  Rounding,
  WeightRange,
} from '../../src/quantization/choices.ts';

const CALIBRATION_COUNT = 128;
const WORKER_COUNT = 2;

interface Step {
  readonly step: string;
  readonly biasCorrection: BiasCorrection;
  readonly weightRange: WeightRange;
  readonly equalization: Equalization;
  readonly rounding: Rounding;
  readonly inputRounding: InputRounding;
}

const NOTHING = {
  biasCorrection: 'none',
  weightRange: 'max',
  equalization: 'none',
  rounding: 'nearest',
  inputRounding: 'range',
} as const;
const CORRECTED = { ...NOTHING, biasCorrection: 'local' } as const;

const STEPS: readonly Step[] = [
  { step: 'none', ...NOTHING },
  { step: 'local bias correction', ...CORRECTED },
  { step: '+ MSE weight ranges', ...CORRECTED, weightRange: 'mse' },
  { step: '+ cross-layer equalization', ...CORRECTED, equalization: 'cross-layer' },
  { step: '+ activation equalization', ...CORRECTED, equalization: 'activations' },
  { step: '+ adaptive rounding', ...CORRECTED, rounding: 'adaptive' },
  { step: '+ pixels as codes', ...CORRECTED, inputRounding: 'pixels' },
  {
    step: '+ the last three, as by default',
    ...CORRECTED,
    equalization: 'activations',
    rounding: 'adaptive',
    inputRounding: 'pixels',
  },
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', multiple: true },
      data: { type: 'string' },
      test: { type: 'string' },
      preset: { type: 'string', default: 'tf' },
    },
  });
  const { imagenet, tf } = PRESETS;
  const normalization: Normalization =
    values.preset === 'imagenet'
      ? { mean: [...imagenet.mean], std: [...imagenet.std] }
      : { mean: [...tf.mean], std: [...tf.std] };
  const dataFolder = requiredFolder('--data', values.data);
  const testFolder = requiredFolder('--test', values.test);
  const folder = await mkdtemp(join(tmpdir(), 'drq-corrections-'));
  const pack = async (files: readonly string[]): Promise<ImageSelection> => {
    const packed = await mkdtemp(join(folder, 'images-'));
    await packImages({ files, folder: packed, width: 224, height: 224, normalization });
    return { folder: packed, split: 'train', indices: files.map((_, i) => i) };
  };
  try {
    const all = await photographsOf(dataFolder);
    const calibration = await pack(
      Array.from(
        { length: CALIBRATION_COUNT },
        (_, i) => all[Math.floor((i * all.length) / CALIBRATION_COUNT)]!, // i < count
      ),
    );
    const test = await pack(await photographsOf(testFolder));
    const results = [];
    for (const modelPath of values.model ?? []) {
      const rows = await measureModel(modelPath, { calibration, test, folder, normalization });
      say(modelPath);
      console.table(rows);
      results.push({ model: modelPath, rows });
    }
    console.log(
      JSON.stringify({
        benchmark: 'corrections',
        testImageCount: test.indices.length,
        workerCount: WORKER_COUNT,
        results,
      }),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measureModel(
  modelPath: string,
  images: {
    calibration: ImageSelection;
    test: ImageSelection;
    folder: string;
    normalization: Normalization;
  },
) {
  const model = await readOnnx(modelPath);
  const { outputName } = classifierSignature(model, modelPath);
  const rowsOf = (path: string): Promise<Float32Array[]> =>
    collectRows({ modelPath: path, outputName, images: images.test, workerCount: WORKER_COUNT });
  const reference = await rowsOf(modelPath);
  const shared = {
    readModel: () => Promise.resolve(model),
    images: images.calibration,
    batchSize: 1,
    workerCount: WORKER_COUNT,
    scratchPath: images.folder,
  };
  const scores = [];
  for (const { step, equalization, weightRange, inputRounding, ...corrections } of STEPS) {
    const start = performance.now();
    const usage = process.cpuUsage();
    const table = await equalizeAndCalibrate({
      ...shared,
      method: 'mse',
      percentile: 100,
      seed: 0,
      equalization,
    });
    const { finish, ...form } = await inputFormFor({
      readModel: shared.readModel,
      table,
      settings: {
        granularity: 'per-channel',
        weightRange,
        target: 'avx2',
        firstConvolution: 'pad',
      },
      inputType: 'float32',
      inputRounding,
      normalization: images.normalization,
      shownName: modelPath,
    });
    const quantized = finish(await quantizeCalibrated({ ...shared, ...corrections, ...form }));
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(usage);
    const path = join(images.folder, `${scores.length}.onnx`);
    await writeOnnx(path, quantized.model);
    scores.push({
      step,
      ...scoreOf(reference, await rowsOf(path)),
      seconds,
      cpuSeconds: (user + system) / 1e6,
    });
    await rm(path);
  }
  return scores;
}

function scoreOf(reference: readonly Float32Array[], actual: readonly Float32Array[]) {
  let sumDb = 0;
  let agreementCount = 0;
  const whole = createSqnrAccumulator();
  for (const [i, row] of reference.entries()) {
    const other = actual[i]!; // both models ran the same images
    const single = createSqnrAccumulator();
    single.add(row, other);
    whole.add(row, other);
    sumDb += single.finishDb() ?? 0;
    if (argmax(row) === argmax(other)) agreementCount += 1;
  }
  return {
    meanSqnrDb: sumDb / reference.length,
    totalSqnrDb: whole.finishDb(),
    agreementPercent: (100 * agreementCount) / reference.length,
  };
}

async function photographsOf(folder: string): Promise<string[]> {
  return (await listImageFiles(folder)).map((file) => join(folder, file));
}

await runProgramMain(main);
