import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createCheckpoints } from '../../../src/training/checkpoints.ts';
import { evaluateNetwork } from '../../../src/training/evaluate-network.ts';
import { relativeDifference } from '../../../src/training/export-checked-onnx.ts';
import type { Recipe } from '../../../src/training/recipe.ts';
import type { Schedule } from '../../../src/training/schedule.ts';
import { trainNetwork, type TrainingOptions } from '../../../src/training/training-loop.ts';
import type { EpochRecord } from '../../../src/training/training-state.ts';
import { smallTraining } from '../../support/small-training.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('two colours are learnt, no tensor is left over, and the chosen epoch is in the runner', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const options = await smallTraining(context, tf);
  const before = tf.memory().numTensors;
  const progress: number[] = [];
  const durations: number[] = [];
  const result = await trainNetwork({
    ...options,
    onEpoch: ({ durationMs }) => {
      durations.push(durationMs);
    },
    onProgress: ({ imagesDone, imagesTotal, imagesPerSecond, remainingMs }) => {
      assert.equal(imagesTotal, 6 * 16);
      progress.push(imagesDone);
      assert.ok(imagesPerSecond > 0);
      const [last] = durations.slice(-1);
      assert.equal(remainingMs, last === undefined ? null : ((96 - imagesDone) / 16) * last);
    },
  });
  assert.equal(tf.memory().numTensors, before);
  assert.equal(progress.length, 6 * 4);
  assert.equal(progress.at(-1), 6 * 16);
  assert.equal(result.epochs.length, 6);
  assert.ok(result.epochs.every((epoch) => epoch.dataWaitFraction > 0));
  assert.ok(result.epochs.every((epoch) => epoch.dataWaitFraction < 1));
  assert.equal(result.chosenEpoch.validation?.top1Fraction, 1);
  assert.equal(result.chosenEpoch.validation.imageCount, 6);
  assert.ok((result.epochs.at(-1)?.trainLoss ?? 9) < (result.epochs[0]?.trainLoss ?? 0));
});

test('the same seed trains the same losses, another does not', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const lossesOf = async (seed: number): Promise<string[]> => {
    const { epochs } = await trainNetwork(await smallTraining(context, tf, { seed, epochs: 2 }));
    return epochs.map(({ trainLoss }) => trainLoss.toFixed(5));
  };
  const first = await lossesOf(1);
  assert.deepEqual(await lossesOf(1), first);
  assert.notDeepEqual(await lossesOf(2), first);
});

test('the time limit ends the training after the epoch it falls in', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const result = await trainNetwork(await smallTraining(context, tf, { timeLimitMs: 1e-3 }));
  assert.equal(result.epochs.length, 1);
  assert.equal(result.epochs[0]?.imageCount, 16);
  assert.equal(result.stoppedBy, 'time-limit');
});

const BY_TIME: readonly Schedule[] = [
  { kind: 'cosine' },
  { kind: 'one-cycle', riseFraction: 0.25 }, // of four steps the first has the full rate
];

for (const schedule of BY_TIME) {
  test(`a schedule that is over with the time ends the first epoch, too: ${schedule.kind}`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const recipe: Partial<Recipe> = { schedule, timeLimitMs: 1e-3, epochs: 1 };
    const whole = await smallTraining(context, tf, recipe);
    const result = await trainNetwork(whole);
    assert.equal(result.stoppedBy, 'time-limit');
    const [epoch] = result.epochs;
    // The first step is taken at the full rate, the others would have none.
    assert.equal(epoch?.imageCount, 4);
    assert.equal(epoch.learningRate, 0.1);
    assert.ok(epoch.trainLoss > 0.1 && epoch.trainLoss < 3);
    assert.equal(epoch.validation?.imageCount, 6);

    const folder = await temporaryFolder(context);
    const controller = new AbortController();
    const interrupted = {
      checkpoints: createCheckpoints({ folder, onFailure: (message) => assert.fail(message) }),
      signal: controller.signal,
      onProgress: () => {
        controller.abort();
      },
    };
    const stopped = trainNetwork({ ...(await smallTraining(context, tf, recipe)), ...interrupted });
    await assert.rejects(stopped, { code: 'run/interrupted' });
    const resumed = await smallTraining(context, tf, recipe);
    const { checkpoints } = interrupted;
    const again = await trainNetwork({ ...resumed, checkpoints });
    assert.deepEqual(again.epochs.map(withoutTimes), result.epochs.map(withoutTimes));
    assert.equal(again.stoppedBy, 'time-limit');
    assert.deepEqual(resumed.runner.readWeights(), whole.runner.readWeights());
  });
}

test('an epoch that does not fit is begun, and the schedule cuts it short at its end', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  let clockMs = 0;
  context.mock.method(performance, 'now', () => clockMs);
  const recipe = { schedule: { kind: 'cosine' }, timeLimitMs: 650, epochs: 99 } as const;
  const options = await smallTraining(context, tf, recipe);
  const { epochs, stoppedBy } = await trainNetwork({
    ...options,
    // 100 ms a step and 50 ms a validation, of two batches: the first epoch ends after 450.
    source: {
      request(...request) {
        const pending = options.source.request(...request);
        const [split, images] = request;
        const durationMs = split === 'train' ? 100 : 25;
        return {
          finish: () => {
            if (images.length > 0) clockMs += durationMs;
            return pending.finish();
          },
        };
      },
    },
  });
  assert.equal(stoppedBy, 'time-limit');
  assert.deepEqual(
    epochs.map(({ imageCount }) => imageCount),
    [16, 8],
  );
  assert.ok((epochs[0]?.learningRate ?? 0) > 0.02);
  assert.equal(epochs[1]?.learningRate, 0);
});

test('a loss that is no number stops with the step and the rate', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const options = await smallTraining(context, tf, { learningRate: 1e30 });
  await assert.rejects(trainNetwork(options), {
    code: 'training/diverged',
    message: /loss became (NaN|Infinity) in epoch 1, step [234] of 4, at learning rate 1\.00e\+30/,
  });
});

test('an abort is noticed at the next step', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const controller = new AbortController();
  const options = await smallTraining(context, tf);
  let steps = 0;
  const training = trainNetwork({
    ...options,
    signal: controller.signal,
    onProgress: () => {
      steps += 1;
      controller.abort();
    },
  });
  await assert.rejects(training, { code: 'run/interrupted' });
  assert.equal(steps, 1);
});

test('interrupted where no checkpoint can be written, it tells of the one before or of none', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const interrupt = async (folder: string, onAbort: () => void): Promise<unknown> => {
    const controller = new AbortController();
    const failures: string[] = [];
    let told: unknown;
    let steps = 0;
    const training = trainNetwork({
      ...(await smallTraining(context, tf)),
      checkpoints: createCheckpoints({ folder, onFailure: (message) => failures.push(message) }),
      signal: controller.signal,
      onProgress: () => {
        steps += 1;
        if (steps !== 6) return; // the second of four steps of epoch 2
        onAbort();
        controller.abort();
      },
      onInterrupt: ({ epoch, step }, saved) => (told = { epoch, step, saved }),
    });
    await assert.rejects(training, { code: 'run/interrupted' });
    assert.match(failures.join('\n'), /^no checkpoint could be written/m);
    return told;
  };
  const folder = await temporaryFolder(context);
  const afterOne = await interrupt(folder, () => {
    mkdirSync(join(folder, '00000002.checkpoint', 'below'), { recursive: true }); // the name is taken
  });
  assert.deepEqual(afterOne, { epoch: 2, step: 2, saved: { epoch: 2, step: 0 } });
  await writeFile(join(folder, 'file'), '');
  const afterNone = await interrupt(join(folder, 'file', 'below'), () => undefined);
  assert.deepEqual(afterNone, { epoch: 2, step: 2, saved: null });
});

const RESUMED: Record<string, Partial<Recipe>> = {
  'sgd, cosine, label smoothing': { schedule: { kind: 'cosine' }, labelSmoothing: 0.1 },
  'adamw, one-cycle, averaged weights, balanced, in parts, head first': {
    ...{ optimizer: 'adamw', learningRate: 0.01, averageDecay: 0.9, sampling: 'balanced' },
    schedule: { kind: 'one-cycle', riseFraction: 0.3 },
    ...{ microBatchSize: 2, classWeights: 'square-root', headEpochs: 1, patience: 3 },
  },
};

for (const [name, settings] of Object.entries(RESUMED)) {
  test(`stopped after any step it goes on to the same weights and history: ${name}`, async (context) => {
    await compareStopped(context, settings);
  });
}

async function compareStopped(context: TestContext, settings: Partial<Recipe>): Promise<void> {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const recipe: Partial<Recipe> = {
    ...{ epochs: 3, weightDecay: 0.01, imageChanges: { flip: 'both', shiftFraction: 0.2 } },
    ...settings,
  };
  const whole = await smallTraining(context, tf, recipe);
  const expected = await trainNetwork(whole);
  const expectedWeights = whole.runner.readWeights();
  for (const stopAfter of [1, 3, 4, 7, 12]) {
    const folder = await temporaryFolder(context);
    const controller = new AbortController();
    const checkpointsOf = (): Partial<TrainingOptions> => ({
      checkpoints: createCheckpoints({ folder, onFailure: (message) => assert.fail(message) }),
      checkpointMs: 0,
    });
    let saved = '';
    let steps = 0;
    const stopped = trainNetwork({
      ...(await smallTraining(context, tf, recipe)),
      ...checkpointsOf(),
      signal: controller.signal,
      onInterrupt: ({ epoch, step }) => (saved = `${epoch}.${step}`),
      onProgress: () => {
        steps += 1;
        if (steps === stopAfter) controller.abort();
      },
    });
    await assert.rejects(stopped, { code: 'run/interrupted' });
    const resumed = await smallTraining(context, tf, recipe);
    const tensorCount: number = tf.memory().numTensors;
    let place = '';
    const result = await trainNetwork({
      ...resumed,
      ...checkpointsOf(),
      prepare: () => Promise.reject(new Error('it goes on')),
      onResume: ({ epoch, step }) => (place = `${epoch}.${step}`),
    });
    assert.equal(tf.memory().numTensors, tensorCount);
    // The abort is noticed at the next step or in the validation, so nothing done is lost.
    assert.equal(place, saved);
    assert.equal(place, `${Math.ceil(stopAfter / 4)}.${((stopAfter - 1) % 4) + 1}`);
    assert.deepEqual(resumed.runner.readWeights(), expectedWeights);
    assert.deepEqual(result.epochs.map(withoutTimes), expected.epochs.map(withoutTimes));
    assert.equal(result.chosenEpoch.epoch, expected.chosenEpoch.epoch);
    const epochsMs = result.epochs.reduce((sum, { durationMs }) => sum + durationMs, 0);
    assert.ok(result.trainingMs >= epochsMs - 1, 'with what ran before the abort');
  }
}

function withoutTimes({ trainLoss, trainTop1Fraction, validation, learningRate }: EpochRecord) {
  return { trainLoss, trainTop1Fraction, validation, learningRate };
}

test('in parts without batch norm the weights are those of whole batches, to rounding', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const weightsWith = async (microBatchSize: number | null): Promise<number[]> => {
    const recipe = { microBatchSize, batchSize: 7, epochs: 2, classWeights: 'balanced' } as const;
    const options = await smallTraining(context, tf, recipe, 'none');
    await trainNetwork(options);
    return [...options.runner.readWeights().values()].flatMap((values) => [...values]);
  };
  const whole = await weightsWith(null);
  // A batch of 7 in parts of 2 ends with one of 3; 16 images end with a batch of 2.
  for (const microBatchSize of [2, 3, 7, 20]) {
    const difference = relativeDifference(whole, await weightsWith(microBatchSize));
    assert.ok(difference < 1e-5, `${microBatchSize}: ${difference}`);
  }
});

test('first the head alone learns, frozen layers never do, with their batch norm', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const changed = async (recipe: Partial<Recipe>): Promise<string[]> => {
    const options = await smallTraining(context, tf, { ...recipe, weightDecay: 0.1 });
    const before = options.runner.readWeights();
    await trainNetwork({ ...options, checkpoint: 'last' });
    return [...options.runner.readWeights()].flatMap(([name, values]) =>
      values.some((value, i) => value !== before.get(name)?.[i]) ? [name] : [],
    );
  };
  assert.deepEqual(await changed({ headEpochs: 2, epochs: 2 }), ['d.weight', 'd.bias']);
  assert.deepEqual(await changed({ frozenLayerCount: 1, epochs: 2 }), ['d.weight', 'd.bias']);
  assert.equal((await changed({ headEpochs: 1, epochs: 2 })).length, 7);
  await assert.rejects(changed({ frozenLayerCount: 2 }), { code: 'training/all-frozen' });
});

test('patience ends a training that no longer gets better', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  // Frozen, the network stays what it is but for a rate that changes nothing in float32.
  const recipe = { frozenLayerCount: 1, learningRate: 1e-30, patience: 2, epochs: 9 };
  const result = await trainNetwork(await smallTraining(context, tf, recipe));
  assert.equal(result.stoppedBy, 'early-stopping');
  assert.equal(result.epochs.length, 3);
  assert.equal(result.chosenEpoch.epoch, 1);
  const headFirst = await trainNetwork(
    await smallTraining(context, tf, { ...recipe, headEpochs: 4 }),
  );
  assert.equal(headFirst.stoppedBy, 'early-stopping');
  assert.equal(headFirst.epochs.length, 6);
  assert.equal(headFirst.chosenEpoch.epoch, 1);
});

test('an average that follows at once is the weights, one that is slow is kept in their place', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const lossesWith = async (averageDecay: number | null): Promise<(number | undefined)[]> => {
    const options = await smallTraining(context, tf, { averageDecay, epochs: 2 });
    const { epochs, chosenEpoch } = await trainNetwork({ ...options, checkpoint: 'last' });
    const kept = await evaluateNetwork({ ...options, split: 'validation', batchSize: 4 });
    assert.equal(kept.loss, chosenEpoch.validation?.loss, 'the weights that were scored are kept');
    return epochs.map(({ validation }) => validation?.loss);
  };
  const own = await lossesWith(null);
  assert.ok(relativeDifference(own.map(Number), (await lossesWith(1e-9)).map(Number)) < 1e-5);
  assert.ok(relativeDifference(own.map(Number), (await lossesWith(0.99)).map(Number)) > 1e-2);
});

test('weight decay leaves biases and batch norm alone where the recipe says so', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const weightsWith = async (recipe: Partial<Recipe>): Promise<Map<string, Float32Array>> => {
    const options = await smallTraining(context, tf, { ...recipe, epochs: 1, batchSize: 16 });
    await trainNetwork(options); // one step
    return options.runner.readWeights();
  };
  const none = await weightsWith({});
  const onWeights = await weightsWith({ weightDecay: 0.5, weightDecayOn: 'weights' });
  const onAll = await weightsWith({ weightDecay: 0.5 });
  const changedBy = (weights: Map<string, Float32Array>): string[] =>
    [...weights].flatMap(([name, values]) =>
      values.some((value, i) => value !== none.get(name)?.[i]) ? [name] : [],
    );
  assert.deepEqual(changedBy(onWeights), ['c.weight', 'd.weight']);
  // The others begin at zero, where decay changes nothing.
  assert.deepEqual(changedBy(onAll), ['c.weight', 'b.weight', 'd.weight']);
});
