import assert from 'node:assert/strict';
import { test } from 'node:test';
import { divisibleBy8 } from '../../../src/models/mobilenet-v2.ts';
import { parameterCount, type NetworkOptions } from '../../../src/models/network.ts';
import { buildNetwork } from '../../../src/models/zoo.ts';
import { NETWORK_OPTIONS } from '../../support/formula-weights.ts';

function countOf(changes: Partial<NetworkOptions>): number {
  return parameterCount(buildNetwork({ ...NETWORK_OPTIONS, imageSize: 224, ...changes }));
}

test("parameter counts are torchvision's at 1000 classes, and the paper's AlexNet's at 7", () => {
  // sum(p.numel() for p in model.parameters()) of torchvision.models
  const classCount = 1000;
  assert.equal(countOf({ architecture: 'alexnet', classCount }), 61_100_840);
  assert.equal(countOf({ architecture: 'mobilenet-v2', classCount }), 3_504_872);
  assert.equal(countOf({ architecture: 'resnet18', classCount }), 11_689_512);
  assert.equal(countOf({ architecture: 'resnet34', classCount }), 21_797_672);
  assert.equal(countOf({ architecture: 'resnet50', classCount }), 25_557_032);
  assert.equal(countOf({ architecture: 'alexnet', variant: 'paper' }), 45_498_183);
  // mobilenet_v2(num_classes=7, width_mult=0.35)
  assert.equal(countOf({ widthMultiplier: 0.35 }), 405_095);
});

test('without batch norm each convolution has a bias: gamma and beta become one vector', () => {
  const channels = 17_056; // of all batch norms of MobileNetV2 1.0
  assert.equal(countOf({ batchNorm: 'none' }), countOf({}) - channels);
});

test('channel counts are rounded as torchvision rounds them', () => {
  // _make_divisible(v, 8): 11.2 rounds down to 8, which is below 90 % of 11.2, so 16.
  assert.deepEqual([3.2, 11.2, 12, 33.6, 1280].map(divisibleBy8), [8, 16, 16, 32, 1280]);
});

test('same padding puts the odd zero at the end, torch padding on both sides', () => {
  const paddingOf = (padding: 'same' | 'torch'): unknown => {
    const [first] = buildNetwork({ ...NETWORK_OPTIONS, imageSize: 224, padding }).layers;
    return first?.kind === 'convolution' ? first.padding : null;
  };
  assert.deepEqual(paddingOf('same'), { top: 0, bottom: 1, left: 0, right: 1 });
  assert.deepEqual(paddingOf('torch'), { top: 1, bottom: 1, left: 1, right: 1 });
});

test('images that vanish inside the network are refused', () => {
  assert.throws(() => countOf({ architecture: 'alexnet', variant: 'paper', imageSize: 40 }), {
    code: 'models/image-too-small',
  });
  assert.throws(() => countOf({ architecture: 'alexnet', imageSize: 96 }), {
    code: 'models/image-size',
  });
});
