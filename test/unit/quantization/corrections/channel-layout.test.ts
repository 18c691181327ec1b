import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode } from '../../../../src/onnx/build.ts';
import {
  channelAt,
  inputLayout,
  outputLayout,
  type ChannelLayout,
} from '../../../../src/quantization/corrections/channel-layout.ts';

function node(opType: string, attributes: Record<string, number> = {}) {
  return makeNode({ opType, name: 'n', inputs: [], outputs: [], attributes });
}

function channels(layout: ChannelLayout, length: number): number[] {
  return Array.from({ length }, (_, i) => channelAt(layout, i));
}

test('a convolution: [M, C, kH, kW]', () => {
  const dims = [2, 3, 1, 2];
  assert.deepEqual(channels(outputLayout(node('Conv'), dims), 12), [
    ...[0, 0, 0, 0, 0, 0],
    ...[1, 1, 1, 1, 1, 1],
  ]);
  assert.deepEqual(channels(inputLayout(node('Conv'), dims), 12), [
    ...[0, 0, 1, 1, 2, 2],
    ...[0, 0, 1, 1, 2, 2],
  ]);
});

test('a depthwise convolution with two outputs a channel: [2 C, 1, kH, kW]', () => {
  const depthwise = node('Conv', { group: 2 });
  assert.deepEqual(channels(inputLayout(depthwise, [4, 1, 1, 2]), 8), [0, 0, 0, 0, 1, 1, 1, 1]);
});

test('a Gemm: [K, N], and [N, K] with transB', () => {
  const transposed = node('Gemm', { transB: 1 });
  assert.deepEqual(channels(outputLayout(node('Gemm'), [2, 3]), 6), [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(channels(inputLayout(node('Gemm'), [2, 3]), 6), [0, 0, 0, 1, 1, 1]);
  assert.deepEqual(channels(outputLayout(transposed, [3, 2]), 6), [0, 0, 1, 1, 2, 2]);
  assert.deepEqual(channels(inputLayout(transposed, [3, 2]), 6), [0, 1, 0, 1, 0, 1]);
});
