import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fidelityOf, klDivergence } from '../../../src/quantization/fidelity.ts';

const close = (actual: number | null | undefined, expected: number): void => {
  assert.ok(Math.abs(actual! - expected) < 1e-6, `${actual} is not ${expected}`);
};

test('the divergence of two distributions, by hand', () => {
  // 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75) = 0.5 ln(4 / 3)
  close(klDivergence([0.5, 0.5], [0.25, 0.75]), 0.5 * Math.log(4 / 3));
  assert.equal(klDivergence([0, 1], [0, 1]), 0);
  assert.ok(Number.isFinite(klDivergence([1, 0], [0, 1])));
});

test('pooled and per-image dB differ, and both are named', () => {
  const reference = [Float32Array.of(10, 0), Float32Array.of(0, 1)];
  const actual = [Float32Array.of(9, 0), Float32Array.of(0.5, 0.5)];
  const fidelity = fidelityOf(reference, actual, { labels: [0, 0] });
  assert.equal(fidelity.imageCount, 2);
  // signal 100 and 1, noise 1 and 0.5
  close(fidelity.logitsSqnrDb, 10 * Math.log10(101 / 1.5));
  close(fidelity.logitsSqnrPerImageDb, (20 + 10 * Math.log10(2)) / 2);
  assert.equal(fidelity.agreementFraction, 0.5); // the tie goes to class 0
  assert.deepEqual(fidelity.accuracy, { floatTop1Fraction: 0.5, top1Fraction: 1 });
  assert.ok(fidelity.klDivergence > 0);
});

test('a model that gives the same has no noise to measure', () => {
  const rows = [Float32Array.of(1, 2)];
  assert.deepEqual(fidelityOf(rows, rows), {
    imageCount: 1,
    agreementFraction: 1,
    klDivergence: 0,
    logitsSqnrDb: null,
    logitsSqnrPerImageDb: null,
  });
});
