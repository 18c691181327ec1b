import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { BatchSource } from '../../../src/training/batches.ts';
import { createCheckpoints } from '../../../src/training/checkpoints.ts';
import { historyCsv, epochEvents } from '../../../src/training/history.ts';
import { encodeEventFile } from '../../../src/training/tensorboard-events.ts';
import { createTrainingJournal } from '../../../src/training/training-journal.ts';
import { trainNetwork, type TrainingOptions } from '../../../src/training/training-loop.ts';
import type { EpochRecord, SoundWeights } from '../../../src/training/training-state.ts';
import { mountOrSkip } from '../../support/mount.ts';
import { smallTraining } from '../../support/small-training.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

/** Training images from request `from` on (0-based) are no numbers, so that the loss is none. */
function ruined(source: BatchSource, from: number): BatchSource {
  let count = 0;
  return {
    request(split, ...others) {
      const pending = source.request(split, ...others);
      if (split !== 'train') return pending;
      count += 1;
      if (count <= from) return pending;
      return {
        finish: async () => {
          const batch = await pending.finish();
          return { ...batch, imagesNhwc: batch.imagesNhwc.map(() => NaN) };
        },
      };
    },
  };
}

async function trainUntilRuined(
  context: TestContext,
  options: TrainingOptions,
  { from, folder }: { readonly from: number; readonly folder: string },
): Promise<SoundWeights | null> {
  let found: SoundWeights | null = null;
  const training = trainNetwork({
    ...options,
    source: ruined(options.source, from),
    checkpoints: createCheckpoints({ folder, onFailure: (message) => assert.fail(message) }),
    checkpointMs: 0,
    keepDiverged: (error, kept) => {
      found = kept;
      return Promise.resolve(error);
    },
  });
  await assert.rejects(training, { code: 'training/diverged' });
  assert.deepEqual(await readdir(folder), []);
  context.diagnostic(`epochs kept: ${String((found as SoundWeights | null)?.epoch)}`);
  return found;
}

test('a training that diverges late gives the weights of its best epoch', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const folder = await temporaryFolder(context);
  // Four steps and one more request for the end of each epoch: 12 is in the third.
  const kept = await trainUntilRuined(context, await smallTraining(context, tf), {
    ...{ from: 12, folder },
  });
  const reference = await smallTraining(context, tf, { epochs: kept?.epoch ?? NaN });
  await trainNetwork({ ...reference, checkpoint: 'last' });
  assert.equal(kept?.step, null);
  assert.deepEqual(kept.weights, reference.runner.readWeights());
});

test('without validation it gives the newest weights that were saved, in the first epoch too', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const options = { ...(await smallTraining(context, tf)), validationSplit: 'test' } as const;
  const folder = await temporaryFolder(context);
  const kept = await trainUntilRuined(context, options, { from: 2, folder });
  assert.deepEqual([kept?.epoch, kept?.step], [1, 2]);
  assert.ok(kept?.weights.get('d.weight')?.every(Number.isFinite));
  const none = { ...(await smallTraining(context, tf)), validationSplit: 'test' } as const;
  assert.equal(await trainUntilRuined(context, none, { from: 0, folder }), null);
});

test('the weights that were not chosen are given too', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  for (const averageDecay of [null, 0.9]) {
    const given = new Map<string, Float32Array | undefined>();
    const chosen = new Map<string, Float32Array | undefined>();
    for (const checkpoint of ['best', 'last'] as const) {
      // At so high a rate the last epoch is not the best.
      const options = await smallTraining(context, tf, { averageDecay, learningRate: 2 });
      await trainNetwork({
        ...{ ...options, checkpoint },
        keepOther: (which, weights) => {
          given.set(which, weights.get('d.weight'));
          return Promise.resolve();
        },
      });
      chosen.set(checkpoint, options.runner.readWeights().get('d.weight'));
    }
    assert.deepEqual(given.get('last'), chosen.get('last'));
    assert.deepEqual(given.get('best'), chosen.get('best'));
    assert.notDeepEqual(given.get('best'), given.get('last'));
  }
});

function recordOf(epoch: number): EpochRecord {
  return {
    ...{ epoch, learningRate: 0.1, imageCount: 16, trainLoss: 1 / epoch, trainTop1Fraction: 0.5 },
    validation: { imageCount: 4, loss: 2 / epoch, top1Fraction: 0.25 },
    ...{ imagesPerSecond: 10, dataWaitFraction: 0, durationMs: 1000, endedAtSeconds: 100 + epoch },
  };
}

test('history and events grow by epochs in the same files, and are mended after a kill', async (context) => {
  const folder = await temporaryFolder(context);
  const onFailure = (message: string): void => assert.fail(message);
  const records = [1, 2, 3].map(recordOf);
  const path = join(folder, 'events', 'events.out.tfevents.0000000101.drq');
  const journal = createTrainingJournal({ folder, onFailure });
  await journal.write([]);
  assert.deepEqual(await readdir(folder), []);
  for (const count of [1, 2]) {
    const epochs = records.slice(0, count);
    await journal.write(epochs);
    assert.deepEqual(await readFile(path), encodeEventFile(epochs.flatMap(epochEvents)));
    assert.equal(await readFile(join(folder, 'history.csv'), 'utf8'), historyCsv(epochs));
  }
  await writeFile(path, (await readFile(path)).subarray(0, -3)); // killed while it was written
  await createTrainingJournal({ folder, onFailure }).write(records);
  assert.deepEqual(await readFile(path), encodeEventFile(records.flatMap(epochEvents)));
  assert.deepEqual((await readdir(folder)).sort(), ['events', 'history.csv']);
});

test('a journal that cannot be written is told and does not stop the training', async (context) => {
  const folder = join(await temporaryFolder(context), 'file');
  await writeFile(folder, '');
  const failures: string[] = [];
  const onFailure = (message: string): void => void failures.push(message);
  await createTrainingJournal({ folder, onFailure }).write([recordOf(1)]);
  assert.match(failures.join(), /^history and events could not be written: ENOTDIR/);
});

test('checkpoints and a journal that are to lie on a read-only disk say so', async (context) => {
  const parent = await temporaryFolder(context);
  const disk = await mountOrSkip(context, parent, ['-t', 'tmpfs', '-o', 'ro', 'tmpfs']);
  if (disk === null) return;
  try {
    const failures: string[] = [];
    const onFailure = (message: string): void => void failures.push(message);
    const folder = join(parent, 'checkpoints', 'of-a-training');
    await createTrainingJournal({ folder, onFailure }).write([recordOf(1)]);
    const checkpoints = createCheckpoints({ folder, onFailure });
    await checkpoints.save({ state: null, tensors: new Map() });
    assert.equal(await checkpoints.finish(), 'failed');
    assert.match(failures[0] ?? '', /^history and events could not be written: EROFS/);
    assert.match(failures[1] ?? '', /^no checkpoint could be written: EROFS/);
  } finally {
    await disk.unmount();
  }
});
