import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { unreadableReason } from '../diagnostics/unreadable.ts';
import { SPLITS } from '../data/dataset-index.ts';
import { floatScoresText } from './not-finite.ts';
import { CALIBRATION_METHODS, EQUALIZATIONS, RANGE_METHODS } from './choices.ts';

const rangeSchema = z.strictObject({ min: z.number(), max: z.number() });

const channelChangeSchema = z.strictObject({
  tensor: z.string(),
  scales: z.array(z.number().positive()),
  shifts: z.array(z.number()).exactOptional(),
});

/** What `auto` chose and why. */
const selectionSchema = z.strictObject({
  method: z.enum(RANGE_METHODS),
  heldOutImageCount: z.int(),
  /** Of them, those whose float scores are not finite, which decide nothing; absent: none. */
  floatNotFiniteImageCount: z.int().positive().exactOptional(),
  /**
   * Mean over the held-out images of the logits' signal to noise, activations rounded; null: no noise,
   * or with `notFiniteImageCount`, logits that are not finite on so many of the images.
   */
  candidates: z.array(
    z.strictObject({
      method: z.enum(RANGE_METHODS),
      sqnrDb: z.number().nullable(),
      notFiniteImageCount: z.int().positive().exactOptional(),
    }),
  ),
});
export type MethodSelection = z.infer<typeof selectionSchema>;

/** Ranges of the activations of one float model, and where they come from. */
const calibrationTableSchema = z.strictObject({
  format: z.literal(1),
  method: z.enum(CALIBRATION_METHODS),
  /** In percent; only where that method was chosen. */
  percentile: z.number().exactOptional(),
  /** Only for the method auto. */
  selection: selectionSchema.exactOptional(),
  seed: z.int(),
  split: z.enum(SPLITS),
  /** Ids of the images used, in the order they were run. */
  samples: z.array(z.string()),
  tensors: z.record(z.string(), rangeSchema),
  /** What was done to the model before: the ranges are of the model so changed. */
  equalization: z
    .strictObject({ method: z.enum(EQUALIZATIONS), changes: z.array(channelChangeSchema) })
    .exactOptional(),
});
export type CalibrationTable = z.infer<typeof calibrationTableSchema>;

export async function writeCalibrationTable(path: string, table: CalibrationTable): Promise<void> {
  await writeFile(path, `${JSON.stringify(table, null, 2)}\n`);
}

/**
 * The table that the calibrate stage has written.
 * @throws DataError `quantization/no-table`, or `quantization/invalid-table` when the file is no table
 */
export async function readCalibrationTable(path: string): Promise<CalibrationTable> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = unreadableReason(cause);
    if (reason === null) throw cause;
    throw new DataError({
      code: 'quantization/no-table',
      message: `the calibration table ${path} cannot be read: ${reason}`,
      hint: 'give the path of a table that the calibrate stage has written',
      cause,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidTable(path, 'it is not JSON', cause);
  }
  const parsed = calibrationTableSchema.safeParse(json);
  if (!parsed.success) throw invalidTable(path, z.prettifyError(parsed.error), parsed.error);
  return parsed.data;
}

/** The method as reports show it, such as `auto (mse)`. */
export function shownMethod({
  method,
  selection,
}: Pick<CalibrationTable, 'method' | 'selection'>): string {
  return selection === undefined ? method : `${method} (${selection.method})`;
}

/** What to tell of how `auto` chose; empty where all scores are finite. */
export function selectionNotes(selection: MethodSelection | undefined): string[] {
  if (selection === undefined) return [];
  const { method, heldOutImageCount, floatNotFiniteImageCount = 0, candidates } = selection;
  const lost = candidates.find((candidate) => candidate.method === method)?.notFiniteImageCount;
  const leftOut = floatScoresText(floatNotFiniteImageCount, heldOutImageCount, 'held-out images');
  return [
    ...(floatNotFiniteImageCount === 0
      ? []
      : floatNotFiniteImageCount === heldOutImageCount
        ? [`${leftOut}: the ranges are by ${method}, which nothing was compared with`]
        : [`${leftOut}: the method of the ranges was chosen by the others`]),
    ...(lost === undefined
      ? []
      : [
          `activations rounded by ${method}, the best of the methods, give scores that are not finite on ${lost} of ${heldOutImageCount} held-out images`,
        ]),
  ];
}

function invalidTable(path: string, reason: string, cause: unknown): DataError {
  return new DataError({
    code: 'quantization/invalid-table',
    message: `${path} is not a calibration table: ${reason}`,
    hint: 'make one with the calibrate stage',
    cause,
  });
}
