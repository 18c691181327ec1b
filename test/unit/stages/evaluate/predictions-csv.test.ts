import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { InterruptedError } from '../../../../src/diagnostics/errors.ts';
import type { Prediction } from '../../../../stages/evaluate/predict.ts';
import { writePredictions } from '../../../../stages/evaluate/predictions-csv.ts';
import { temporaryFolder } from '../../../support/stage-context.ts';

/** Image i is sure of class i. */
function predictionsOf(imageCount: number, classCount: number): Prediction[] {
  return Array.from({ length: imageCount }, (_, i) => ({
    imageId: `image-${i}`,
    label: 0,
    scores: [Float32Array.from({ length: classCount }, (_, c) => (c === i ? 1 : 0))],
  }));
}

const classesOf = (count: number): string[] =>
  Array.from({ length: count }, (_, c) => `class ${c}`);

test('a table of several writes has one header and every row in order', async (t) => {
  const path = join(await temporaryFolder(t), 'predictions.csv');
  const classes = classesOf(2000);
  await writePredictions(path, {
    predictions: predictionsOf(60, 2000),
    classes,
    scoreKind: 'probabilities',
    signal: new AbortController().signal,
  });
  const lines = (await readFile(path, 'utf8')).split('\n');
  const header = ['image', 'label', 'predicted', ...classes.map((name) => `probability_${name}`)];
  const rows = Array.from({ length: 60 }, (_, i) => {
    const probabilities = classes.map((_, c) => (c === i ? 1 : 0));
    return [`image-${i}`, 'class 0', `class ${i}`, ...probabilities];
  });
  assert.deepEqual(lines, [...[header, ...rows].map((cells) => cells.join(',')), '']);
});

test('an abort is heard before a large table is complete', async (t) => {
  const path = join(await temporaryFolder(t), 'predictions.csv');
  const abort = new AbortController();
  const written = writePredictions(path, {
    predictions: predictionsOf(400, 1000),
    classes: classesOf(1000),
    scoreKind: 'logits',
    signal: abort.signal,
  });
  setTimeout(() => abort.abort(), 1);
  await assert.rejects(written, InterruptedError);
});
