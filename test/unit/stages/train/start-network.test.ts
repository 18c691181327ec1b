import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NORMALIZATION_PRESETS } from '../../../../src/data/normalization-presets.ts';
import {
  imagesAtATime,
  kerasWarning,
  paddingWarning,
  requireClasses,
} from '../../../../stages/train/start-network.ts';

test('weights of an earlier training want its padding', () => {
  assert.equal(paddingWarning({ padding: 'same' }, 'same'), null);
  assert.equal(paddingWarning({}, 'same'), null);
  assert.match(
    paddingWarning({ padding: 'torch' }, 'same') ?? '',
    /trained with "padding: torch", this training has "padding: same"/,
  );
});

test("Keras's weights want its padding and its pixels", () => {
  const { tf, imagenet } = NORMALIZATION_PRESETS;
  const normalization = (preset: typeof tf | typeof imagenet) => ({
    mean: [...preset.mean] as [number, number, number],
    std: [...preset.std] as [number, number, number],
  });
  assert.equal(kerasWarning('keras', 'same', normalization(tf)), null);
  assert.equal(kerasWarning('torchvision', 'torch', normalization(imagenet)), null);
  assert.match(
    kerasWarning('keras', 'torch', normalization(imagenet)) ?? '',
    /they fit "padding: same" in the train stage and "normalization: tf" in the augment stage$/,
  );
  assert.match(
    kerasWarning('keras', 'torch', normalization(tf)) ?? '',
    /they fit "padding: same" in the train stage$/,
  );
});

test('no more images go through the network than a batch has', () => {
  assert.equal(imagesAtATime({ batchSize: 8, microBatchSize: null }), 8);
  assert.equal(imagesAtATime({ batchSize: 8, microBatchSize: 4 }), 4);
  assert.equal(imagesAtATime({ batchSize: 8, microBatchSize: 64 }), 8);
});

test('images of one class are refused, since there is nothing to tell apart', () => {
  requireClasses({ classes: ['0', '1'] });
  assert.throws(() => {
    requireClasses({ classes: ['0'] });
  }, /^DataError: the images are all of one class, "0"; a classifier tells two or more apart$/);
});
