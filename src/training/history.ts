import { stringify } from 'csv-stringify/sync';
import type { ScalarEvent } from './tensorboard-events.ts';
import type { EpochRecord } from './training-state.ts';

/** The epochs as CSV, one row each; units stand in the column names. */
export function historyCsv(epochs: readonly EpochRecord[]): string {
  const rows = epochs.map((record) => ({
    epoch: record.epoch,
    learningRate: Number(record.learningRate.toPrecision(6)),
    trainLoss: rounded(record.trainLoss),
    trainTop1Fraction: rounded(record.trainTop1Fraction),
    validationLoss: record.validation === null ? '' : rounded(record.validation.loss),
    validationTop1Fraction:
      record.validation === null ? '' : rounded(record.validation.top1Fraction),
    imagesPerSecond: Number(record.imagesPerSecond.toFixed(1)),
    dataWaitFraction: Number(record.dataWaitFraction.toFixed(4)),
    durationSeconds: Number((record.durationMs / 1000).toFixed(1)),
  }));
  return stringify(rows, { header: true });
}

/** One epoch under the tags of the published experiment; "Test" is what scored the checkpoints there. */
export function epochEvents(record: EpochRecord): ScalarEvent[] {
  const scalars: [string, number][] = [
    ['Train Loss', record.trainLoss],
    ['Train Acc', record.trainTop1Fraction],
    ['lr', record.learningRate],
  ];
  if (record.validation !== null) {
    scalars.push(
      ['Test Loss', record.validation.loss],
      ['Test Acc', record.validation.top1Fraction],
    );
  }
  const { epoch, endedAtSeconds } = record;
  return scalars.map(([tag, value]) => ({
    ...{ tag, value, step: epoch, wallTimeSeconds: endedAtSeconds },
  }));
}

function rounded(value: number): number {
  return Number(value.toFixed(6));
}
