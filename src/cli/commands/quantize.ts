import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UsageError } from '../../diagnostics/errors.ts';
import {
  LARGEST_SIZE,
  type CalibrationMethod,
  type CorrectionChoices,
  type InputType,
  type Target,
} from '../../quantization/choices.ts';
import { localTarget, saturationWarning } from '../../quantization/local-target.ts';
import type { Preset } from '../../quantization/normalization-choice.ts';
import { notFiniteText } from '../../quantization/not-finite.ts';
import {
  quantizeFolder,
  type QuantizeFolderOptions,
  type QuantizeFolderResult,
} from '../../quantization/quantize-folder.ts';
import { requireModelFile } from '../../quantization/require-model-file.ts';
import {
  modelFiles,
  photographFiles,
  requireWritable,
} from '../../quantization/require-writable.ts';
import { sizeChange } from '../../quantization/size-change.ts';
import { BYTES_PER_MB } from '../../tables/columns.ts';
import { renderBoxTable } from '../../tables/terminal.ts';
import type { CommandCall, CommandContext } from '../command-context.ts';
import { createProgressLines } from '../progress-lines.ts';
import type { OptionValues } from '../options.ts';

/** `drq quantize`: an int8 model from a float one and a folder of images, without a pipeline. */
export async function quantize({
  arguments: [modelPath = ''],
  options,
  context,
}: CommandCall): Promise<number> {
  const given = readOptions(modelPath, options);
  const { reportFile } = options;
  if (reportFile !== undefined) {
    await requireModelFile(modelPath);
    await requireWritable({ what: 'report', path: reportFile }, [
      ...(await modelFiles(modelPath, reportFile)),
      ...(await photographFiles(given.dataFolder, reportFile)),
      { what: 'output', path: given.outputPath },
    ]);
  }
  const saturation = given.target === undefined ? null : saturationWarning(given.target);
  if (saturation !== null) context.say(`warning: ${saturation}`);
  const result = await quantizeFolder({
    ...given,
    signal: context.signal,
    onProgress: createProgressLines({
      writeLive: isWatched(context) ? (text) => context.stderr.write(text) : null,
      say: (line) => context.say(line),
      now: () => performance.now(),
    }),
    log: (line) => context.say(line),
  });
  for (const note of result.notes) context.say(`note: ${note}`);
  if (reportFile !== undefined) {
    await mkdir(dirname(reportFile), { recursive: true });
    await writeFile(reportFile, result.reportMarkdown);
    context.say(`report: ${reportFile}`);
  }
  context.print(options.json === true ? JSON.stringify(result, null, 2) : describeResult(result));
  context.say(`written: ${result.outputPath}`);
  return 0;
}

function readOptions(modelPath: string, options: OptionValues): QuantizeFolderOptions {
  const { data, output, count, preset, mean, std, size, target, method, inputType } = options;
  if (data === undefined) throw missing('--data', 'a folder of images to calibrate with');
  if (output === undefined) throw missing('--output', 'where to write the int8 model');
  if (size !== undefined && size > LARGEST_SIZE) throw tooLarge(size);
  return {
    modelPath,
    dataFolder: data,
    outputPath: output,
    // Each of these is one of its flag's choices.
    target: (target as Target | undefined) ?? localTarget(),
    ...(method === undefined ? {} : { method: method as CalibrationMethod }),
    ...readCorrections(options),
    ...(inputType === undefined ? {} : { inputType: inputType as InputType }),
    ...(options.sensitivity === true ? { sensitivity: 'layers' } : {}),
    ...(count === undefined ? {} : { count }),
    ...(preset === undefined ? {} : { preset: preset as Preset }), // one of the flag's choices
    ...(mean === undefined ? {} : { mean: parseTriple('--mean', mean) }),
    ...(std === undefined ? {} : { std: parseTriple('--std', std) }),
    ...(size === undefined ? {} : { size }),
  };
}

function readCorrections({
  equalization,
  rounding,
  biasCorrection,
  weightRange,
}: OptionValues): CorrectionChoices {
  const given = { equalization, rounding, biasCorrection, weightRange };
  const chosen = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(chosen); // each is one of its flag's choices
}

function missing(flag: string, what: string): UsageError {
  return new UsageError({
    code: 'usage/missing-option',
    message: `drq quantize needs ${flag}: ${what}`,
    hint: 'drq quantize MODEL.onnx --data FOLDER --output OUT.onnx --preset imagenet',
  });
}

function tooLarge(size: number): UsageError {
  return new UsageError({
    code: 'usage/invalid-argument',
    message: `--size must be at most ${LARGEST_SIZE} pixels a side, received ${size}`,
    hint: 'give the side of the images that the model was trained on, such as --size 224',
  });
}

/** `0.485,0.456,0.406` → three numbers, red first. */
function parseTriple(flag: string, text: string): number[] {
  const values = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (values.length === 3 && values.every((value) => Number.isFinite(value))) return values;
  throw new UsageError({
    code: 'usage/invalid-argument',
    message: `${flag} must be three numbers with commas between, received "${text}"`,
    hint: `for instance ${flag} 0.485,0.456,0.406`,
  });
}

function isWatched({ stderr }: CommandContext): boolean {
  return stderr === process.stderr && process.stderr.isTTY;
}

function describeResult(result: QuantizeFolderResult): string {
  const megabytes = (bytes: number): string => `${(bytes / BYTES_PER_MB).toFixed(2)} MB`;
  const milliseconds = (value: number): string => `${value.toFixed(2)} ms`;
  const { settings, worstPairSum } = result;
  const rows = [
    [
      'size',
      megabytes(result.floatSizeBytes),
      megabytes(result.sizeBytes),
      sizeChange(result.sizeRatio),
    ],
    [
      'latency',
      milliseconds(result.floatLatencyMs),
      milliseconds(result.latencyMs),
      `${result.speedup.toFixed(2)} times as fast (median, batch 1, 1 thread)`,
    ],
    [
      result.outputForm === 'values' ? 'outputs against fp32' : 'agreement with fp32',
      '',
      ...describeFidelity(result),
    ],
    [
      'calibration images',
      '',
      String(settings.calibrationImageCount),
      `ranges by ${settings.calibrationMethod}`,
    ],
    [
      'largest pair sum',
      '',
      String(worstPairSum.sum),
      worstPairSum.fits
        ? `of ${worstPairSum.limit} that fit without VNNI (target ${settings.target})`
        : `more than the ${worstPairSum.limit} that fit without VNNI (target ${settings.target})`,
    ],
    [
      'operators left in float',
      '',
      String(result.floatNodes.length),
      [...new Set(result.floatNodes.map(({ operator }) => operator))].join(', '),
    ],
  ];
  return renderBoxTable(
    ['', 'fp32', 'int8', ''].map((title, column) => ({
      title,
      kind: column === 1 || column === 2 ? 'number' : 'text',
      cells: rows.map((row) => row[column] ?? ''),
    })),
  );
}

function describeFidelity({
  fidelity,
  comparedOn,
  outputForm,
}: QuantizeFolderResult): [string, string] {
  if (fidelity === null) return ['', `not measured: ${comparedOn}`];
  const { agreementFraction, imageCount, logitsSqnrDb, logitsSqnrPerImageDb } = fidelity;
  // A few images with large errors decide the pooled one.
  const mean =
    logitsSqnrPerImageDb === null ? '' : ` (mean over images ${logitsSqnrPerImageDb.toFixed(1)})`;
  const notFinite = notFiniteText(fidelity);
  const sqnr =
    logitsSqnrDb === null
      ? `, outputs ${notFinite === null ? 'exact' : `of SQNR ${notFinite}`}`
      : `, outputs ${logitsSqnrDb.toFixed(1)} dB SQNR${mean}`;
  const images = `on ${imageCount} images not used for calibration${sqnr}`;
  return outputForm === 'values'
    ? ['', images]
    : [`${(agreementFraction * 100).toFixed(2)} %`, `top-1, ${images}`];
}
