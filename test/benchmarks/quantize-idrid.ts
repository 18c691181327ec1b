/**
 * `drq quantize` on a MobileNetV2 trained in float, scored on photographs it never saw: top-1 against
 * float32, agreement, SQNR of the logits; beside it onnxruntime's own min-max quantization.
 *
 * npm run bench -- quantize-idrid --shared FOLDER [--python PYTHON_WITH_ONNXRUNTIME]
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { normalizePixels, openShardReader } from '../../src/data/image-shards.ts';
import { listImageFiles } from '../../src/data/list-image-files.ts';
import { argmax } from '../../src/metrics/ranking.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { collectRows, timeModels } from '../../src/quantization/compare-models.ts';
import { fidelityOf } from '../../src/quantization/fidelity.ts';
import { PRESETS } from '../../src/quantization/normalization-choice.ts';
import { packImages } from '../../src/quantization/pack-images.ts';
import { quantizeFolder } from '../../src/quantization/quantize-folder.ts';
import { requiredFolder, renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';

const SIZE_PX = 224;
const NORMALIZATION = { mean: [...PRESETS.tf.mean], std: [...PRESETS.tf.std] } as const;

/** Top-1 that int8 may lose against float32. */
const LARGEST_LOSS_POINTS = 2;

interface Score {
  readonly quantizer: string;
  readonly top1Percent: number;
  readonly agreementPercent: number;
  readonly logitsSqnrDb: number | null;
  readonly fastestSpeedup: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      shared: { type: 'string' },
      python: { type: 'string' },
    },
  });
  const shared = requiredFolder('--shared', values.shared);
  const modelPath = join(shared, 'models', 'mobilenet_v2_idrid.onnx');
  const dataFolder = join(shared, 'data', 'idrid', 'train');
  const folder = await mkdtemp(join(tmpdir(), 'drq-idrid-'));
  try {
    const quantizedPath = join(folder, 'int8.onnx');
    const start = performance.now();
    const result = await quantizeFolder({
      modelPath,
      dataFolder,
      outputPath: quantizedPath,
      preset: 'tf',
      log: say,
    });
    const seconds = (performance.now() - start) / 1000;
    const files = await photographsOf(join(shared, 'data', 'idrid', 'test'));
    const images = await pack(folder, files);
    const labels = files.map((file) => Number(basename(dirname(file))));
    const reference = await rowsOf(modelPath, images);
    const scoreOf = async (quantizer: string, path: string): Promise<Score> => {
      const rows = await rowsOf(path, images);
      const { agreementFraction, logitsSqnrDb } = fidelityOf(reference, rows);
      const timing = await timeModels({ floatPath: modelPath, quantizedPath: path }, images);
      return {
        quantizer,
        top1Percent: top1Percent(rows, labels),
        agreementPercent: 100 * agreementFraction,
        logitsSqnrDb,
        fastestSpeedup: timing.fastestSpeedup,
      };
    };
    const floatTop1Percent = top1Percent(reference, labels);
    const floatScore: Score = {
      quantizer: 'none (float32)',
      top1Percent: floatTop1Percent,
      agreementPercent: 100,
      logitsSqnrDb: null,
      fastestSpeedup: 1,
    };
    say(`scoring on ${files.length} photographs`);
    const scores = [await scoreOf('drq', quantizedPath)];
    if (values.python !== undefined) {
      const path = await quantizeByOnnxruntime(values.python, modelPath, dataFolder, folder);
      scores.push(await scoreOf('onnxruntime min-max', path));
    }
    console.log(
      renderRows(
        [floatScore, ...scores].map((score) => ({
          quantizer: score.quantizer,
          'top-1 %': score.top1Percent.toFixed(2),
          'agreement %': score.agreementPercent.toFixed(2),
          'SQNR dB': score.logitsSqnrDb?.toFixed(1) ?? '',
          'speed-up': score.fastestSpeedup.toFixed(2),
        })),
      ),
    );
    const passed = scores[0]!.top1Percent >= floatTop1Percent - LARGEST_LOSS_POINTS; // ours, just made
    console.log(
      JSON.stringify({
        benchmark: 'quantize-idrid',
        passed,
        floatTop1Percent,
        testImageCount: files.length,
        seconds,
        sizeRatio: result.sizeRatio,
        scores,
      }),
    );
    if (!passed) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function photographsOf(folder: string): Promise<string[]> {
  return (await listImageFiles(folder)).map((file) => join(folder, file));
}

async function pack(folder: string, files: readonly string[]): Promise<ImageSelection> {
  await packImages({
    files,
    folder,
    width: SIZE_PX,
    height: SIZE_PX,
    normalization: { mean: [...NORMALIZATION.mean], std: [...NORMALIZATION.std] },
  });
  return { folder, split: 'train', indices: files.map((_, i) => i) };
}

function rowsOf(modelPath: string, images: ImageSelection): Promise<Float32Array[]> {
  return collectRows({ modelPath, outputName: 'logits', images, workerCount: 2 });
}

function top1Percent(rows: readonly Float32Array[], labels: readonly number[]): number {
  return (100 * rows.filter((row, i) => argmax(row) === labels[i]).length) / rows.length;
}

/** The same evenly spaced photographs that `quantizeFolder` takes. */
async function quantizeByOnnxruntime(
  python: string,
  modelPath: string,
  dataFolder: string,
  folder: string,
): Promise<string> {
  const all = await photographsOf(dataFolder);
  const count = 128;
  const files = Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!); // i < count
  const packed = await mkdtemp(join(folder, 'calibration-'));
  await pack(packed, files);
  const reader = await openShardReader(packed);
  const pixelCount = SIZE_PX * SIZE_PX;
  const pixels = new Uint8Array(count * pixelCount * 3); // [N, H, W, 3]
  for (let i = 0; i < count; i += 1) await reader.read('train', i, pixels, i * pixelCount * 3);
  await reader.close();
  const inputs = new Float32Array(pixels.length); // [N, 3, H, W]
  normalizePixels(pixels, count, pixelCount, reader.shards.normalization, inputs);
  const inputsPath = join(packed, 'inputs.f32');
  await writeFile(inputsPath, inputs);
  const outputPath = join(folder, 'onnxruntime.onnx');
  const script = join(packageRoot(), 'test', 'benchmarks', 'onnxruntime_quantizer.py');
  const { status, stderr } = spawnSync(
    python,
    [script, modelPath, inputsPath, String(count), String(SIZE_PX), outputPath],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`onnxruntime's quantizer failed: ${stderr}`);
  return outputPath;
}

await runProgramMain(main);
