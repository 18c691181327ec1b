import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { SPLITS } from '../data/dataset-index.ts';
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
  /** Mean over the held-out images of the logits' signal to noise, activations rounded; null: no noise. */
  candidates: z.array(
    z.strictObject({ method: z.enum(RANGE_METHODS), sqnrDb: z.number().nullable() }),
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

/** @throws DataError `quantization/invalid-table` */
export async function readCalibrationTable(path: string): Promise<CalibrationTable> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw invalidTable(path, 'it cannot be read as JSON', cause);
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

function invalidTable(path: string, reason: string, cause: unknown): DataError {
  return new DataError({
    code: 'quantization/invalid-table',
    message: `${path} is not a calibration table: ${reason}`,
    hint: 'make one with the calibrate stage',
    cause,
  });
}
