import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { unreadableReason } from '../diagnostics/unreadable.ts';

/** One measured or counted value. `subject` tells which of several models it belongs to. */
const metricValueSchema = z.strictObject({
  /** camelCase with the unit as suffix where there is one: `top1Fraction`, `latencyMedianMs`, `sizeBytes`. */
  name: z.string().min(1),
  value: z.union([z.number(), z.string()]),
  /** '' for a plain number or text. */
  unit: z.enum(['', 'fraction', 'ms', 'bytes', 'ratio', 'images', 'dB', 'imagesPerSecond', 's']),
  direction: z.enum(['higher-is-better', 'lower-is-better', 'neutral']),
  /** 95 % interval, same unit as the value. */
  interval: z.tuple([z.number(), z.number()]).exactOptional(),
  subject: z.string().exactOptional(),
});
export type MetricValue = z.infer<typeof metricValueSchema>;

export const metricsFileSchema = z.strictObject({
  format: z.literal(1),
  values: z.array(metricValueSchema),
  /** Remarks that belong beside the numbers wherever they are shown. */
  notes: z.array(z.string()),
  /** Whatever else the stage reports: per-class figures, operator lists, confusion matrices. */
  details: z.record(z.string(), z.json()),
});
export type MetricsFile = z.infer<typeof metricsFileSchema>;

/**
 * Writes a metrics artifact: pretty JSON, so that a person and a diff can read it.
 * @throws DataError `data/invalid-metrics` when `readMetricsFile` would refuse it
 */
export async function writeMetricsFile(
  path: string,
  content: Omit<MetricsFile, 'format'>,
): Promise<void> {
  const text = JSON.stringify({ format: 1, ...content }, null, 2);
  // The numbers as they are, where JSON has null for NaN; the rest may hold what JSON leaves out.
  const { details } = JSON.parse(text) as { details?: unknown };
  const parsed = metricsFileSchema.safeParse({ format: 1, ...content, details });
  if (!parsed.success) {
    throw new DataError({
      code: 'data/invalid-metrics',
      message: `the metrics for ${path} cannot be written: ${z.prettifyError(parsed.error)}`,
      hint: SHAPE_HINT,
      cause: parsed.error,
    });
  }
  await writeFile(path, `${text}\n`);
}

const SHAPE_HINT = 'metrics are { values, notes, details }, each value a finite number or a text';

/** @throws DataError `data/no-metrics`, or `data/invalid-metrics` when the file is no metrics artifact */
export async function readMetricsFile(path: string): Promise<MetricsFile> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = unreadableReason(cause);
    if (reason === null) throw cause;
    throw new DataError({
      code: 'data/no-metrics',
      message: `the metrics file ${path} cannot be read: ${reason}`,
      hint: 'give the path of a file that writeMetricsFile or a stage has written',
      cause,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidMetrics(path, 'it is not JSON', cause);
  }
  const parsed = metricsFileSchema.safeParse(json);
  if (!parsed.success) throw invalidMetrics(path, z.prettifyError(parsed.error), parsed.error);
  return parsed.data;
}

function invalidMetrics(path: string, reason: string, cause: unknown): DataError {
  return new DataError({
    code: 'data/invalid-metrics',
    message: `${path} is not a metrics file: ${reason}`,
    hint: 'a metrics file has "format": 1, "values", "notes" and "details"',
    cause,
  });
}
