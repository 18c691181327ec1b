import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bestCandidate,
  isBetter,
  meanDb,
  scoreCandidates,
} from '../../../src/quantization/image-scores.ts';

test('another candidate wins by more than noise and by more than images differ', () => {
  assert.equal(isBetter([25, 27], [20, 22]), true);
  assert.equal(isBetter([20, 22], [25, 27]), false);
  assert.equal(isBetter([20.2, 22.2], [20, 22]), false); // less than 0.25 dB
  // Mean +1; the standard error of (4, -2) is 3.
  assert.equal(isBetter([24, 20], [20, 22]), false);
  // Mean +1, standard error 0.58 by hand: deviations 0, 1, -1, 1, -1 … of 3 values √(2 / 6).
  assert.equal(isBetter([21, 23, 20], [20, 21, 20]), true);
  // No noise on any image beats everything; on some images it says nothing of the others.
  assert.equal(isBetter([null, null], [40, 50]), true);
  assert.equal(isBetter([40, 50], [null, null]), false);
  assert.equal(isBetter([null, 22], [20, 21]), true);
});

test('scores that are not finite never win against finite ones', () => {
  assert.equal(isBetter([-Infinity, 60], [20, 20]), false);
  assert.equal(isBetter([20, 20], [-Infinity, 60]), true);
  assert.equal(isBetter([null, -Infinity], [40, 41]), false);
  assert.equal(isBetter([null, null], [-Infinity, 41]), true);
  // Both fail: on fewer images is better, on as many it is what the others say.
  assert.equal(isBetter([-Infinity, 10, 10], [-Infinity, -Infinity, 50]), true);
  assert.equal(isBetter([-Infinity, 40, 40], [-Infinity, 20, 20]), true);
  assert.equal(isBetter([-Infinity, 40], [20, -Infinity]), false);
  assert.equal(isBetter([-Infinity], [-Infinity]), false);
});

test('the best candidate is one whatever the scores are', () => {
  assert.equal(bestCandidate([[20], [30], [25]]), 1);
  assert.equal(bestCandidate([[20], [null], [25]]), 1);
  assert.equal(
    bestCandidate([
      [-Infinity, 90],
      [5, 5],
      [-Infinity, 80],
    ]),
    1,
  );
  assert.equal(
    bestCandidate([
      [-Infinity, -Infinity],
      [-Infinity, 3],
      [-Infinity, 2],
    ]),
    1,
  );
  assert.equal(bestCandidate([[-Infinity], [-Infinity], [-Infinity]]), 0);
  assert.equal(bestCandidate([[null], [null]]), 0);
  assert.equal(meanDb([-Infinity, 3]), -Infinity);
});

test('images whose float scores are not finite count for no candidate', () => {
  const rows = (...values: number[][]) => values.map((row) => Float32Array.from(row));
  const reference = rows([3, 4], [NaN, 1], [-Infinity, 2], [0, 0], [0, 5]);
  const repeats = rows([3, 4.5], [NaN, 1], [-Infinity, 2], [1, 0], [0, NaN]);
  const { scores, unmeasured } = scoreCandidates(reference, [repeats, repeats]);
  assert.deepEqual(unmeasured, [false, true, false, false, false]);
  // Signal 25, noise 0.25; NaN; the same infinity; no signal; an answer that is not finite.
  assert.deepEqual(scores, [
    [20, null, null, null, -Infinity],
    [20, null, null, null, -Infinity],
  ]);
  // One that does not repeat the infinity leaves the image to none.
  const differs = rows([3, 4.5], [NaN, 1], [-9, 2.5], [1, 0], [0, NaN]);
  const mixed = scoreCandidates(rows([3, 4], [-Infinity, 2]), [
    rows([3, 4.5], [-9, 2]),
    rows([3, 4], [-Infinity, 2.5]),
  ]);
  assert.deepEqual(mixed.unmeasured, [false, true]);
  assert.deepEqual(mixed.scores, [
    [20, null],
    [null, null],
  ]);
  assert.deepEqual(scoreCandidates(reference, [repeats, differs]).unmeasured[2], true);
});
