import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fidelityOf, klDivergence } from '../../../src/quantization/fidelity.ts';
import { notFiniteNotes, notFiniteText } from '../../../src/quantization/not-finite.ts';

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
  assert.ok(fidelity.klDivergence! > 0);
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

test('one score an image is the decision between two classes', () => {
  const rows = (...scores: number[]): Float32Array[] =>
    scores.map((score) => Float32Array.of(score));
  // Sides of 0: same, changed, same; sides of 0.5 in the same places.
  const logits = fidelityOf(rows(2, 0.5, -1), rows(1, -0.5, -3), { labels: [1, 1, 1] });
  close(logits.agreementFraction, 2 / 3);
  assert.deepEqual(logits.accuracy, { floatTop1Fraction: 2 / 3, top1Fraction: 1 / 3 });
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  const kl = (x: number, y: number): number => {
    const [p, q] = [sigmoid(x), sigmoid(y)];
    return p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
  };
  const expected = (kl(2, 1) + kl(0.5, -0.5) + kl(-1, -3)) / 3;
  close(logits.klDivergence, expected);
  close(logits.logitsSqnrDb, 10 * Math.log10((4 + 0.25 + 1) / (1 + 1 + 4)));
  const probabilities = fidelityOf(
    rows(...[2, 0.5, -1].map(sigmoid)),
    rows(...[1, -0.5, -3].map(sigmoid)),
    { scores: 'sigmoids' },
  );
  close(probabilities.agreementFraction, 2 / 3);
  close(probabilities.klDivergence, expected);
  // Several sigmoids are no distribution, so they are compared as logits are.
  const several = [Float32Array.of(0.9, 0.8)];
  const others = [Float32Array.of(0.8, 0.9)];
  const asLogits = fidelityOf(several, others);
  assert.deepEqual(fidelityOf(several, others, { scores: 'sigmoids' }), asLogits);
});

const FLOAT = [Float32Array.of(3, 1, 0), Float32Array.of(0, 2, 1)];

test('a model that gives NaN is not exact, agrees with nothing and is right about nothing', () => {
  const nan = FLOAT.map((row) => row.map(() => NaN));
  const fidelity = fidelityOf(FLOAT, nan, { labels: [0, 1] });
  assert.deepEqual(fidelity, {
    imageCount: 2,
    agreementFraction: 0,
    klDivergence: null,
    logitsSqnrDb: null,
    logitsSqnrPerImageDb: null,
    notFinite: { floatImageCount: 0, quantizedImageCount: 2 },
    accuracy: { floatTop1Fraction: 1, top1Fraction: 0 },
  });
  assert.equal(notFiniteText(fidelity), 'not finite on 2 of 2 images');
  assert.deepEqual(notFiniteNotes(fidelity), [
    'the SQNR of the outputs is not finite on 2 of 2 images: there is no value of KL divergence, the pooled SQNR, the mean SQNR',
  ]);
});

test('one image that is not finite is not averaged away', () => {
  const fidelity = fidelityOf(FLOAT, [
    Float32Array.of(3, 1.5, 0),
    Float32Array.of(-Infinity, 2, 1),
  ]);
  assert.equal(fidelity.agreementFraction, 1);
  assert.deepEqual([fidelity.logitsSqnrDb, fidelity.logitsSqnrPerImageDb], [null, null]);
  assert.deepEqual(fidelity.notFinite, { floatImageCount: 0, quantizedImageCount: 1 });
  assert.ok(Number.isFinite(fidelity.klDivergence));
  assert.equal(notFiniteText(fidelity), 'not finite on 1 of 2 images');
});

test('images without finite float scores are left out and told', () => {
  const reference = [...FLOAT, Float32Array.of(NaN, 0, 0), Float32Array.of(-Infinity, 1, 0)];
  const actual = [...FLOAT, Float32Array.of(1, 0, 0), Float32Array.of(-8, 1, 0)];
  const fidelity = fidelityOf(reference, actual);
  assert.equal(fidelity.agreementFraction, 0.75);
  assert.equal(fidelity.klDivergence, 0);
  assert.equal(fidelity.logitsSqnrDb, null);
  assert.equal(notFiniteText(fidelity), null); // what is left is exact
  assert.deepEqual(notFiniteNotes(fidelity), [
    '2 of 4 images have float scores that are not finite: KL divergence and SQNR leave them out',
  ]);
  const none = fidelityOf(reference.slice(2), actual.slice(2));
  assert.deepEqual([none.klDivergence, none.logitsSqnrDb], [null, null]);
  assert.match(notFiniteText(none)!, /^not measured/);
});

test('a class that both models mask hides nothing of the others', () => {
  const mask = (row: number[]) => Float32Array.of(-Infinity, ...row);
  const fidelity = fidelityOf([mask([3, 4])], [mask([3, 4.5])]);
  close(fidelity.logitsSqnrDb, 20);
  assert.equal(fidelity.notFinite, undefined);
  assert.ok(fidelity.klDivergence! > 0 && fidelity.klDivergence! < 0.1);
});
