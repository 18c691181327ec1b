import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEpochForecast } from '../../../src/training/epoch-forecast.ts';

const MINUTE_MS = 60_000;
const START = { elapsedMs: 1_000, doneFraction: 0.001 };
const FIRST = { epochs: 200, epoch: 1, lastEpochMs: null, elapsedBeforeMs: 0, scheduleEndMs: null };

test('without a time limit all epochs are expected', () => {
  const pace = { ...FIRST, timeLimitMs: null };
  assert.equal(createEpochForecast(pace)({ elapsedMs: MINUTE_MS, doneFraction: 0.1 }), 200);
});

test('with one, those that fit at the pace of the epoch before', () => {
  // 7 minutes an epoch, one done: 53 minutes are left for 7 more.
  const second = {
    ...{ epochs: 200, timeLimitMs: 60 * MINUTE_MS, scheduleEndMs: null, epoch: 2 },
    ...{ lastEpochMs: 7 * MINUTE_MS, elapsedBeforeMs: 7 * MINUTE_MS },
  };
  assert.equal(createEpochForecast(second)(START), 8);
  assert.equal(createEpochForecast({ ...second, epochs: 5 })(START), 5);
  // An epoch that was begun counts, though by now it would not fit.
  assert.equal(createEpochForecast({ ...second, elapsedBeforeMs: 58 * MINUTE_MS })(START), 2);
});

test('where the schedule ends with the limit, the epoch that it cuts short counts', () => {
  const third = {
    ...{ epochs: 200, timeLimitMs: 60 * MINUTE_MS, epoch: 3 },
    ...{ lastEpochMs: 7 * MINUTE_MS, elapsedBeforeMs: 14 * MINUTE_MS },
  };
  // 45 or 42 minutes for epochs of 7: six and a part, or six.
  assert.equal(createEpochForecast({ ...third, scheduleEndMs: 59 * MINUTE_MS })(START), 9);
  assert.equal(createEpochForecast({ ...third, scheduleEndMs: 56 * MINUTE_MS })(START), 8);
});

test('the first epoch goes by its own first seconds, once', () => {
  const forecast = createEpochForecast({ ...FIRST, timeLimitMs: 60 * MINUTE_MS });
  assert.equal(forecast(START), 200);
  // A tenth in half a minute: 5 minutes an epoch.
  assert.equal(forecast({ elapsedMs: 30_000, doneFraction: 0.1 }), 12);
  assert.equal(forecast({ elapsedMs: 60_000, doneFraction: 0.3 }), 12);
});
