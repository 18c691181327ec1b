import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interruptionNote } from '../../../../stages/train/interruption-note.ts';

test('an interruption tells where the next run goes on, and no more than is on the disk', () => {
  const place = { epoch: 3, step: 2 };
  assert.equal(
    interruptionNote(place, { ...place }),
    'saved after epoch 3, step 2; the next run goes on there',
  );
  assert.equal(
    interruptionNote(place, { epoch: 3, step: 0 }),
    'nothing could be saved after epoch 3, step 2: the next run goes on after epoch 3, step 0, the newest checkpoint; if the disk is full, free space on it first',
  );
  assert.equal(
    interruptionNote(place, null),
    'nothing could be saved after epoch 3, step 2: the next run begins anew; if the disk is full, free space on it first',
  );
});
