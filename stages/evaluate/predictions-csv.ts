import { stringify } from 'csv-stringify/sync';
import { open } from 'node:fs/promises';
import { InterruptedError } from '../../src/diagnostics/errors.ts';
import type { ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { argmax, softmax } from '../../src/metrics/ranking.ts';
import type { Prediction } from './predict.ts';

export interface PredictionsTable {
  readonly predictions: readonly Prediction[];
  readonly classes: readonly string[];
  readonly scoreKind: ClassifierSignature['scores'];
  readonly signal: AbortSignal;
}

/** Seven digits are what a float32 probability holds. */
const PROBABILITY_DIGITS = 7;

/** Written in one go, about a tenth of a second; a thousand classes fill it with 50 images. */
const CELLS_PER_WRITE = 50_000;

/**
 * One row an image: image, label, predicted, one probability a class. Where the scores hold NaN the
 * predicted class is empty and so says NaN what has no probability.
 * @throws InterruptedError
 */
export async function writePredictions(path: string, table: PredictionsTable): Promise<void> {
  const { predictions, classes, signal } = table;
  const header = ['image', 'label', 'predicted', ...classes.map((name) => `probability_${name}`)];
  const rowsPerWrite = Math.ceil(CELLS_PER_WRITE / header.length);
  const file = await open(path, 'w');
  try {
    await file.appendFile(stringify([header]));
    for (let start = 0; start < predictions.length; start += rowsPerWrite) {
      if (signal.aborted) throw new InterruptedError();
      const rows = predictions
        .slice(start, start + rowsPerWrite)
        .map((prediction) => rowOf(prediction, table));
      await file.appendFile(stringify(rows));
    }
  } finally {
    await file.close();
  }
}

function rowOf(
  { imageId, label, scores }: Prediction,
  { classes, scoreKind }: PredictionsTable,
): string[] {
  const own = scores[0]!; // the scored model's row; the reference's follows
  const probabilities = scoreKind === 'probabilities' ? Float64Array.from(own) : softmax(own);
  return [
    imageId,
    classes[label] ?? '',
    classes[argmax(own)] ?? '',
    ...Array.from(probabilities, (value) => String(Number(value.toPrecision(PROBABILITY_DIGITS)))),
  ];
}
