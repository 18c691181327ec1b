import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wilsonInterval } from '../../../src/metrics/intervals.ts';

test('the Wilson interval agrees with statsmodels', () => {
  // proportion_confint(count, nobs, method='wilson')
  const cases = [
    [60, 103, 0.4860016272725327, 0.6731126359324475],
    [0, 10, 0, 0.27753279986288926],
    [10, 10, 0.7224672001371106, 1],
    [1, 1, 0.2065493143772374, 1],
    [580, 1000, 0.5491604008010915, 0.6102273178412196],
  ] as const;
  for (const [count, total, low, high] of cases) {
    const interval = wilsonInterval(count, total);
    assert.ok(interval !== null);
    assert.ok(Math.abs(interval[0] - low) < 1e-9, `${count}/${total}: ${interval[0]}`);
    assert.ok(Math.abs(interval[1] - high) < 1e-9, `${count}/${total}: ${interval[1]}`);
  }
});

test('without trials there is no interval', () => {
  assert.equal(wilsonInterval(0, 0), null);
});
