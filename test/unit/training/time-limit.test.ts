import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTimeForEpoch, scheduleEndMs } from '../../../src/training/time-limit.ts';

// 100 images in 8 s and 2 s of validation; a step of 10 images takes 0.8 s.
const LAST = { durationMs: 10_000, imageCount: 100, imagesPerSecond: 12.5 };
const COSINE = { timeLimitMs: 60_000, schedule: { kind: 'cosine' }, batchSize: 10 } as const;
const CONSTANT = { ...COSINE, schedule: { kind: 'constant' } } as const;

test('a schedule by time leaves time for a validation as long as the one before', () => {
  assert.equal(scheduleEndMs(COSINE, undefined), 60_000);
  assert.equal(scheduleEndMs(COSINE, LAST), 58_000);
  assert.equal(scheduleEndMs({ timeLimitMs: null }, LAST), null);
});

test('an epoch is begun when it fits, and of a schedule by time when a step does', () => {
  const after = (elapsedMs: number) => ({ elapsedMs, trainImageCount: 100 });
  assert.equal(hasTimeForEpoch(CONSTANT, undefined, after(70_000)), true);
  assert.equal(hasTimeForEpoch(CONSTANT, LAST, after(50_000)), true);
  assert.equal(hasTimeForEpoch(CONSTANT, LAST, after(50_001)), false);
  assert.equal(hasTimeForEpoch(COSINE, LAST, after(57_200)), true);
  assert.equal(hasTimeForEpoch(COSINE, LAST, after(57_201)), false);
  assert.equal(hasTimeForEpoch({ ...COSINE, timeLimitMs: null }, LAST, after(1e9)), true);
  // The epoch that the time cut short is the last, however short its validation was.
  assert.equal(hasTimeForEpoch(COSINE, { ...LAST, imageCount: 50 }, after(30_000)), false);
});
