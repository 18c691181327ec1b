/**
 * The quantizer's defaults on several random draws of calibration photographs, each compared with float32
 * on all the others of the folder: what agreement and SQNR owe to the choice of images.
 *
 * npm run bench -- random-draws --model MODEL[=PRESET] [--model …] --data FOLDER [--draws 3] [--count 128]
 */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { DataError, UsageError } from '../../src/diagnostics/errors.ts';
import { createRandom, shuffled } from '../../src/numeric/random.ts';
import { quantizeModel } from '../../src/quantization/library.ts';
import { PRESET_NAMES, type Preset } from '../../src/quantization/normalization-choice.ts';
import {
  positiveInteger,
  renderRows,
  requiredFolder,
  requiredImages,
  runProgramMain,
  say,
  userPath,
} from '../support/benchmark-program.ts';

interface Draw {
  readonly draw: number;
  readonly agreementPercent: number;
  /** Mean of each image's own, in dB; null where it is not finite. */
  readonly sqnrPerImageDb: number | null;
  readonly pooledSqnrDb: number | null;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', multiple: true, default: [] },
      data: { type: 'string' },
      draws: { type: 'string', default: '3' },
      count: { type: 'string', default: '128' },
    },
  });
  if (values.model.length === 0) {
    throw new UsageError({
      code: 'usage/missing-option',
      message: '--model MODEL.onnx=PRESET is needed',
      hint: `PRESET is one of ${PRESET_NAMES.join(', ')}; tf where it is left out`,
    });
  }
  const models = values.model.map(parseModel);
  const photographs = await requiredImages(requiredFolder('--data', values.data));
  const drawCount = positiveInteger('--draws', values.draws);
  const calibrationCount = positiveInteger('--count', values.count);
  if (calibrationCount >= photographs.length) {
    throw new DataError({
      code: 'usage/too-few-images',
      message: `--count ${calibrationCount} leaves none of ${photographs.length} photographs to compare on`,
      hint: 'give a smaller --count, or a larger folder',
    });
  }
  const folder = await mkdtemp(join(tmpdir(), 'drq-draws-'));
  try {
    const results = [];
    for (const { path, preset } of models) {
      const draws: Draw[] = [];
      for (let draw = 0; draw < drawCount; draw += 1) {
        say(`${path}: draw ${draw + 1} of ${drawCount}`);
        const images = join(folder, `${results.length}-${draw}`);
        const order = shuffled(photographs, createRandom(draw, 'calibration photographs'));
        await linkAll(order.slice(0, calibrationCount), join(images, 'calibration'));
        await linkAll(order.slice(calibrationCount), join(images, 'others'));
        draws.push({ draw, ...(await measure(path, preset, images, calibrationCount)) });
      }
      results.push({ model: path, preset, draws, mean: meanOf(draws) });
    }
    process.stdout.write(
      `${renderRows(
        results.flatMap(({ model, draws, mean }) => [
          ...draws.map((draw) => rowOf(model, String(draw.draw), draw)),
          rowOf(model, 'mean', mean),
        ]),
      )}\n`,
    );
    process.stdout.write(
      `${JSON.stringify({
        benchmark: 'random-draws',
        photographCount: photographs.length,
        calibrationCount,
        results,
      })}\n`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `MODEL=PRESET`, or the path alone. */
function parseModel(text: string): { readonly path: string; readonly preset: Preset } {
  const end = text.lastIndexOf('=');
  const named = end < 0 ? 'tf' : text.slice(end + 1);
  const preset = PRESET_NAMES.find((name) => name === named);
  if (preset !== undefined) return { path: userPath(end < 0 ? text : text.slice(0, end)), preset };
  throw new UsageError({
    code: 'usage/unknown-preset',
    message: `--model ${text}: there is no preset "${named}"`,
    hint: `use one of ${PRESET_NAMES.join(', ')}`,
  });
}

async function linkAll(files: readonly string[], folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [i, file] of files.entries()) {
    await symlink(file, join(folder, `${i}${extname(file)}`));
  }
}

async function measure(
  path: string,
  preset: Preset,
  images: string,
  count: number,
): Promise<Omit<Draw, 'draw'>> {
  const { report } = await quantizeModel(path, {
    images: { folder: join(images, 'calibration'), preset },
    compare: { folder: join(images, 'others'), preset },
    count,
    target: 'avx2',
  });
  const { fidelity } = report;
  if (fidelity === null) throw new Error(`${path}: the report compares nothing`);
  return {
    agreementPercent: 100 * fidelity.agreementFraction,
    sqnrPerImageDb: fidelity.logitsSqnrPerImageDb,
    pooledSqnrDb: fidelity.logitsSqnrDb,
  };
}

function meanOf(draws: readonly Draw[]): Omit<Draw, 'draw'> {
  const mean = (values: readonly (number | null)[]): number | null =>
    values.every((value) => value !== null)
      ? values.reduce((sum, value) => sum + value, 0) / values.length
      : null;
  return {
    agreementPercent: draws.reduce((sum, draw) => sum + draw.agreementPercent, 0) / draws.length,
    sqnrPerImageDb: mean(draws.map(({ sqnrPerImageDb }) => sqnrPerImageDb)),
    pooledSqnrDb: mean(draws.map(({ pooledSqnrDb }) => pooledSqnrDb)),
  };
}

function rowOf(
  model: string,
  draw: string,
  { agreementPercent, sqnrPerImageDb, pooledSqnrDb }: Omit<Draw, 'draw'>,
): Record<string, string> {
  return {
    model,
    draw,
    'agreement %': agreementPercent.toFixed(2),
    'SQNR dB, mean of images': sqnrPerImageDb?.toFixed(2) ?? '',
    'SQNR dB, pooled': pooledSqnrDb?.toFixed(2) ?? '',
  };
}

await runProgramMain(main);
