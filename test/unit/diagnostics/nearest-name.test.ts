import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameHint, nearestName } from '../../../src/diagnostics/nearest-name.ts';

test('the nearest name is found by letters, capitals aside', () => {
  assert.equal(nearestName('per-chanel', ['per-tensor', 'per-channel']), 'per-channel');
  assert.equal(nearestName('batchsize', ['epochs', 'batchSize']), 'batchSize');
  assert.equal(nearestName('lr', ['learningRate', 'seed']), undefined);
  assert.equal(nearestName('anything', []), undefined);
});

test('a name in other capitals is nearer than any other', () => {
  assert.equal(nearestName('/c/conv', ['/a/Conv', '/b/Conv', '/c/Conv']), '/c/Conv');
  assert.equal(nearestName('batchsize', ['batch', 'batchSize']), 'batchSize');
});

test('a beginning is near however much follows', () => {
  assert.equal(nearestName('bench', ['evaluate', 'benchmark']), 'benchmark');
});

test('without a near name the hint lists all, when they are few', () => {
  assert.equal(nameHint('xyz', ['train', 'test-set']), 'known: train, test-set');
  assert.equal(nameHint('trian', ['train', 'test-set']), 'did you mean "train"?');
  assert.equal(nameHint('xyz', []), undefined);
  assert.equal(
    nameHint(
      'xyz',
      Array.from({ length: 30 }, (_, index) => `stage${index}`),
    ),
    undefined,
  );
});
