import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema } from '../../../../src/onnx/generated/onnx_pb.ts';
import type { ImageShards } from '../../../../src/data/image-shards.ts';
import type { OnnxModel } from '../../../../src/onnx/model.ts';
import { checkRecorded } from '../../../../stages/evaluate/check-recorded.ts';
import { tinyConvnet } from '../../../support/tiny-convnet.ts';

const IMAGES: Pick<ImageShards, 'classes' | 'normalization'> = {
  classes: ['cat', 'dog', 'owl'],
  normalization: { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] },
};
const SEEN = { path: 'm.onnx', readsPixels: false };

function recording(entries: Readonly<Record<string, unknown>>): OnnxModel {
  const model = tinyConvnet();
  model.metadataProps = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, {
      key,
      value: typeof value === 'string' ? value : JSON.stringify(value),
    }),
  );
  return model;
}

function check(entries: Readonly<Record<string, unknown>>, seen = SEEN): string[] {
  return checkRecorded(recording(entries), IMAGES, seen);
}

test('nothing is said of a model that fits or that records nothing', () => {
  const { classes, normalization } = IMAGES;
  const { mean, std } = normalization;
  assert.deepEqual(check({}), []);
  assert.deepEqual(check({ 'drq.classes': classes, 'drq.mean': mean, 'drq.std': std }), []);
  assert.deepEqual(check({ 'drq.classes': 'not JSON', 'drq.mean': 'not JSON' }), []);
});

test('the same classes in another order are refused, others are told', () => {
  assert.throws(() => check({ 'drq.classes': ['owl', 'dog', 'cat'] }), {
    code: 'evaluate/class-order',
    message:
      'm.onnx was trained on the classes "owl", "dog", "cat", the dataset has them in another order: "cat", "dog", "owl"',
  });
  assert.match(check({ 'drq.classes': ['0', '1', '2'] })[0] ?? '', /trained on the classes "0"/);
});

test('images normalized otherwise are told, unless the model reads the pixels themselves', () => {
  const entries = { 'drq.mean': [0.1, 0.2, 0.31], 'drq.std': [0.4, 0.5, 0.6] };
  assert.match(check(entries)[0] ?? '', /mean \[0\.1, 0\.2, 0\.31\].*these are by mean \[0\.1, 0/);
  assert.deepEqual(check(entries, { ...SEEN, readsPixels: true }), []);
});
