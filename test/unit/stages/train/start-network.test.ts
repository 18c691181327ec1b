import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NORMALIZATION_PRESETS } from '../../../../src/data/normalization-presets.ts';

import {
  classesWarning,
  imagesAtATime,
  kerasWarning,
  normalizationWarning,
  paddingWarning,
  requireClasses,
} from '../../../../stages/train/start-network.ts';
import { NETWORK_OPTIONS } from '../../../support/formula-weights.ts';

/** Of weights that were trained on three classes, with torchvision's padding. */
const TRAINED = {
  network: { ...NETWORK_OPTIONS, padding: 'torch' },
  classes: ['a', 'b', 'c'],
  normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
} as const satisfies Parameters<typeof normalizationWarning>[0]['trained'];

test('weights of an earlier training want its padding', () => {
  assert.equal(paddingWarning({ trained: TRAINED }, 'torch'), null);
  assert.equal(paddingWarning({}, 'same'), null);
  assert.match(
    paddingWarning({ trained: TRAINED }, 'same') ?? '',
    /trained with "padding: torch", this training has "padding: same"/,
  );
});

test('weights of an earlier training want its pixels', () => {
  const { normalization } = TRAINED;
  assert.equal(normalizationWarning({ trained: TRAINED }, normalization), null);
  assert.equal(normalizationWarning({}, normalization), null);
  assert.match(
    normalizationWarning({ trained: TRAINED }, { ...normalization, std: [1, 0.25, 0.25] }) ?? '',
    /by mean \[0\.5, 0\.5, 0\.5\] and std \[0\.25, .*, these are by mean .* and std \[1, 0\.25, 0\.25\]/,
  );
});

test('a head of other classes is told, by the classes that differ', () => {
  assert.equal(classesWarning({ headFit: { kind: 'by-shape' } }), null);
  assert.equal(classesWarning({ headFit: { kind: 'reordered', from: [1, 0] } }), null);
  assert.equal(
    classesWarning({ headFit: { kind: 'other-classes', gone: ['cat'], added: ['zebra'] } }),
    'the initial weights were trained on other classes, with "cat" and without "zebra": the last layer is drawn anew',
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
