import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  createHistogramObserver,
  mergeHistograms,
} from '../../../../src/quantization/observers/histogram.ts';
import type { ObserverState } from '../../../../src/quantization/observers/observer.ts';

function observed(...batches: readonly (readonly number[])[]): ObserverState {
  const observer = createHistogramObserver('tensor');
  for (const batch of batches) observer.observe(Float32Array.from(batch));
  return observer.finish();
}

/** Counts exactly; sums of quotients up to their rounding. */
function assertSameHistogram(actual: ObserverState, expected: ObserverState): void {
  const [a, b] = [actual.histogram!, expected.histogram!];
  const exact = { relativeCounts: null, relativeZeroCount: 0 };
  assert.deepEqual({ ...a, ...exact }, { ...b, ...exact });
  const near = (x: number, y: number) => Math.abs(x - y) <= 1e-12 * Math.abs(y);
  assert.ok(near(a.relativeZeroCount, b.relativeZeroCount));
  assert.ok(a.relativeCounts.every((count, bin) => near(count, b.relativeCounts[bin]!)));
}

const value = fc.oneof(
  fc.float({ min: -1e3, max: 1e3, noNaN: true }),
  fc.float({ min: Math.fround(-1e-3), max: Math.fround(1e-3), noNaN: true }),
  fc.constantFrom(0, -0, 6),
);
const batch = fc.array(value, { minLength: 1, maxLength: 40 });

test('the state depends on the values only, not on order, batches or threads', () => {
  fc.assert(
    fc.property(batch, batch, batch, (a, b, c) => {
      const whole = observed(a, b, c);
      for (const other of [
        observed(c, a, b),
        mergeHistograms(observed(a), observed(b, c)),
        mergeHistograms(observed(a, b), observed(c)),
        mergeHistograms(mergeHistograms(observed(c), observed(b)), observed(a)),
      ]) {
        assertSameHistogram(other, whole);
      }
      const merged = mergeHistograms(observed(a), observed(b, c));
      assert.deepEqual({ ...merged, histogram: null }, { ...whole, histogram: null });
    }),
  );
});

test('no count is lost and every value lies in its bin', () => {
  fc.assert(
    fc.property(batch, batch, (a, b) => {
      const { histogram, min, max } = observed(a, b);
      const values = [...a, ...b];
      const { counts, firstBin, exponent, zeroCount } = histogram!;
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        values.length,
      );
      assert.equal(zeroCount, values.filter((value) => value === 0).length);
      assert.ok(counts.length <= 4096);
      assert.equal(min, Math.min(...values) + 0);
      assert.equal(max, Math.max(...values) + 0);
      const width = 2 ** exponent;
      for (const value of values) {
        const bin = Math.floor(value / width) - firstBin;
        assert.ok(counts[bin]! > 0);
      }
    }),
  );
});

test('relative counts are those of each image over its mean square', () => {
  // Mean squares 4 and 25 / 2; bins by the value.
  const { histogram } = observed([2, -2, 2, 2], [4, 3, 0, 5]);
  const { exponent, firstBin, relativeCounts, relativeZeroCount } = histogram!;
  const at = (value: number) => relativeCounts[Math.floor(value / 2 ** exponent) - firstBin];
  assert.deepEqual([at(-2), at(2), at(4), at(0)], [1 / 4, 3 / 4, 2 / 25, 2 / 25]);
  assert.equal(relativeZeroCount, 2 / 25);
  const zeros = observed([0, 0], [1, 0]).histogram!;
  assert.equal(zeros.relativeZeroCount, 2); // of the second image alone
});

test('bins are as fine as the capacity allows', () => {
  const { histogram } = observed([0, 1]);
  // 1 / 4096 would need 4097 bins, the last one for 1 itself.
  assert.equal(histogram!.exponent, -11);
  assert.equal(histogram!.counts.length, 2049);
});

test('one value, and only zeros, are fine', () => {
  assert.equal(observed([5]).histogram!.counts.length, 1);
  const zeros = observed([0, -0]);
  assert.deepEqual([zeros.min, zeros.max, zeros.histogram!.zeroCount], [0, 0, 2]);
  assert.deepEqual(mergeHistograms(zeros, observed([5])), observed([0, 0], [5]));
});

test('each image’s own range is kept in the order of the images', () => {
  const merged = mergeHistograms(observed([1, -2], [3]), observed([0, 7]));
  assert.deepEqual([...merged.imageMinima], [-2, 3, 0]);
  assert.deepEqual([...merged.imageMaxima], [1, 3, 7]);
});

test('tables of counts are added up whatever the length', () => {
  for (const length of [1, 2, 3, 4, 5, 4099]) {
    const values = Array.from({ length }, (_, i) => i % 5);
    const { histogram } = observed(values, values);
    assert.equal(
      histogram!.counts.reduce((sum, count) => sum + count, 0),
      2 * length,
    );
    assert.equal(histogram!.zeroCount, 2 * Math.ceil(length / 5));
  }
});

test('NaN and infinity are refused with the tensor’s name', () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    assert.throws(() => observed([1, bad, 2]), {
      code: 'quantization/not-finite',
      message: /"tensor"/,
    });
  }
});
