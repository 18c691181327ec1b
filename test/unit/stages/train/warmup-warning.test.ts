import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warmupWarning } from '../../../../stages/train/warmup-warning.ts';

test('a time limit that ends within the warm-up is told, one after it is not', () => {
  // 25 steps an epoch, 50 of warm-up.
  const steps = { warmupEpochs: 2, batchSize: 4, trainImageCount: 100 };
  const ended = (...imageCounts: number[]) => ({
    stoppedBy: 'time-limit' as const,
    epochs: imageCounts.map((imageCount) => ({ imageCount })),
  });
  assert.match(
    warmupWarning(ended(100, 40), steps) ?? '',
    /within its warm-up, after 35 of 50 steps: .* raise "timeLimitMinutes" or lower "warmupEpochs"$/,
  );
  assert.match(warmupWarning(ended(100, 100), steps) ?? '', /after 50 of 50 steps/);
  assert.equal(warmupWarning(ended(100, 100, 4), steps), null);
  assert.equal(warmupWarning(ended(4), { ...steps, warmupEpochs: 0 }), null);
  assert.equal(warmupWarning({ ...ended(100), stoppedBy: 'epochs' }, steps), null);
});
