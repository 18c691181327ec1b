import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressMeter, type MeteredProgress } from '../../../src/execute/progress-meter.ts';

function meterAt(): {
  readonly meter: ProgressMeter;
  readonly shown: MeteredProgress[];
  readonly clock: { now: number };
} {
  const clock = { now: 0 };
  const shown: MeteredProgress[] = [];
  return {
    meter: new ProgressMeter(
      (progress) => void shown.push(progress),
      () => clock.now,
    ),
    shown,
    clock,
  };
}

test('ten events a second at most, and the last is never lost', () => {
  const { meter, shown, clock } = meterAt();
  for (let done = 1; done <= 1000; done += 1) {
    clock.now = done;
    meter.update({ done, total: 1000, unit: 'images' });
  }
  meter.finish();
  assert.ok(shown.length <= 11, `${shown.length} events in a second`);
  assert.equal(shown.at(-1)?.done, 1000);
});

test('rate and time left follow the last seconds, not the slow start', () => {
  const { meter, shown, clock } = meterAt();
  // 20 s at 1/s, then 20 s at 10/s.
  for (let second = 0; second <= 40; second += 1) {
    clock.now = second * 1000;
    const done = second <= 20 ? second : 20 + (second - 20) * 10;
    meter.update({ done, total: 420, unit: 'steps' });
  }
  const last = shown.at(-1);
  assert.equal(last?.done, 220);
  assert.equal(last.unitsPerSecond, 10);
  assert.equal(last.remainingMs, 20_000);
  assert.equal(last.elapsedMs, 40_000);
});

test('what a stage tells of rate and time left goes before the pace of the last seconds', () => {
  const { meter, shown, clock } = meterAt();
  meter.update({ done: 0, total: 100, unit: 'images' });
  clock.now = 20_000; // a validation between two epochs
  const told = { unitsPerSecond: 10, remainingMs: 33_000 };
  meter.update({ done: 10, total: 100, unit: 'images', ...told });
  assert.equal(shown.at(-1)?.unitsPerSecond, 10);
  assert.equal(shown.at(-1)?.remainingMs, 33_000);
});

test('another phase starts its rate anew', () => {
  const { meter, shown, clock } = meterAt();
  for (const [now, done, unit] of [
    [0, 0, 'images'],
    [1000, 100, 'images'],
    [2000, 1, 'epochs'],
  ] as const) {
    clock.now = now;
    meter.update({ done, unit });
  }
  assert.deepEqual(
    shown.map(({ unitsPerSecond }) => unitsPerSecond),
    [undefined, 100, undefined],
  );
});

test('a rate lasts when updates come every few milliseconds for long', () => {
  const { meter, shown, clock } = meterAt();
  for (let step = 0; step <= 6000; step += 1) {
    clock.now = step * 5; // 30 s; 200/s in the first 15, 400/s after
    meter.update({ done: step <= 3000 ? step : 3000 + (step - 3000) * 2, unit: 'steps' });
  }
  const rate = shown.at(-1)?.unitsPerSecond ?? 0;
  assert.ok(Math.abs(rate - 400) < 8, String(rate));
});
