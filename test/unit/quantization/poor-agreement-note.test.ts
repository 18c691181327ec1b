import assert from 'node:assert/strict';
import { test } from 'node:test';
import { poorAgreementNote } from '../../../src/quantization/poor-agreement-note.ts';

function noteOf(agreementFraction: number, imageCount: number): string[] {
  return poorAgreementNote({
    ...{ agreementFraction, imageCount },
    ...{ klDivergence: 0.1, logitsSqnrDb: 12, logitsSqnrPerImageDb: 12 },
  });
}

test('a model that often names another class is told with its images and what can be done', () => {
  const [note = '', ...none] = noteOf(23 / 32, 32);
  assert.deepEqual(none, []);
  assert.match(note, /^int8 names another class than float32 on 9 of 32 images: /);
  assert.match(note, /sensitivity .* accuracyBudget/);
});

test('nothing is said of a good one, nor where a few images are all there is', () => {
  assert.deepEqual(noteOf(0.9, 100), []);
  assert.deepEqual(noteOf(0.5, 4), []);
});
