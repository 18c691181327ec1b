import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeNode } from '../../../src/onnx/build.ts';
import {
  codeBounds,
  highestBeside,
  LARGEST_PAIR_SUM,
  lowestBeside,
  meetingWeights,
} from '../../../src/quantization/code-bounds.ts';
import { worstPairSum } from '../../../src/quantization/pair-sums.ts';
import { quantizeWeight } from '../../support/quantize-weight.ts';

const conv = (weightDims: readonly number[], group = 1) => ({
  node: makeNode({
    opType: 'Conv',
    name: 'conv',
    inputs: ['x', 'w'],
    outputs: ['y'],
    attributes: { group },
  }),
  weightDims,
  axis: 0 as const,
});

test('of a window all channels of one position come first, two by two', () => {
  // [M, 4, 1, 2]: index = channel · 2 + position
  const meeting = meetingWeights(conv([16, 4, 1, 2]), 'keep');
  assert.deepEqual([...meeting!], [2, 3, 0, 1, 6, 7, 4, 5]);
});

test('with an odd number of channels the last of one position meets the first of the next', () => {
  // Taken as c0p0 c1p0 | c2p0 c0p1 | c1p1 c2p1, whose indices are 0 2 | 4 1 | 3 5.
  assert.deepEqual([...meetingWeights(conv([16, 3, 1, 2]), 'keep')!], [2, 4, 0, 5, 1, 3]);
  // With a fourth channel of zeros: c0p0 c1p0 | c2p0 0 | c0p1 c1p1 | c2p1 0.
  assert.deepEqual([...meetingWeights(conv([16, 3, 1, 2]), 'pad')!], [2, 3, 0, 1, -1, -1]);
  assert.deepEqual([...meetingWeights(conv([16, 1, 1, 3], 4), 'keep')!], [1, 0, -1]);
});

test('depthwise weights meet nothing, a long odd window has no pairs that are known', () => {
  assert.deepEqual([...meetingWeights(conv([3, 1, 1, 3], 3), 'keep')!], [-1, -1, -1]);
  assert.equal(meetingWeights(conv([16, 33, 4, 4]), 'keep'), null);
  assert.equal(codeBounds(conv([16, 33, 4, 4]), 'avx2', 'keep').limit, 64);
});

test('rows of a Gemm meet two by two on either axis', () => {
  const node = makeNode({ opType: 'Gemm', name: 'gemm', inputs: ['x', 'w'], outputs: ['y'] });
  for (const [weightDims, axis] of [
    [[7, 5], 0],
    [[5, 7], 1],
  ] as const) {
    assert.deepEqual([...meetingWeights({ node, weightDims, axis }, 'pad')!], [1, 0, 3, 2, -1]);
  }
});

test('targets bound codes by what they need', () => {
  const layer = conv([16, 4, 3, 3]);
  assert.deepEqual(codeBounds(layer, 'vnni', 'pad'), { limit: 127, meeting: null });
  assert.deepEqual(codeBounds(layer, 'portable', 'pad'), { limit: 64, meeting: null });
  assert.equal(codeBounds(layer, 'avx2', 'pad').limit, 127);
  // 255 · (100 + 28) = 32,640; codes of the other sign are free.
  assert.deepEqual([lowestBeside(100, 127), highestBeside(100, 127)], [-127, 28]);
  assert.deepEqual([lowestBeside(-100, 127), highestBeside(-100, 127)], [-28, 127]);
  assert.deepEqual([lowestBeside(0, 127), highestBeside(0, 127)], [-127, 127]);
});

test('whatever the weights, nothing that meets sums to more than 16 bits hold', () => {
  const bounds = codeBounds(conv([16, 4, 1, 2]), 'avx2', 'keep');
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 16, maxLength: 16 }),
      fc.constantFrom('max', 'mse'),
      fc.constantFrom('per-channel', 'per-tensor'),
      (values, range, granularity) => {
        const { codes, scales } = quantizeWeight(
          {
            values: Float32Array.from(values),
            channelCount: 2,
            axis: 0,
            bias: undefined,
            inputScale: 1,
          },
          { granularity, range, ...bounds },
        );
        assert.ok(worstPairSum(codes, 2, 0, bounds.meeting) <= LARGEST_PAIR_SUM);
        if (range !== 'max') return;
        // Nothing is cut off: every weight is as near as its scale allows, or a code further at most.
        for (const [i, value] of values.entries()) {
          const scale = scales[granularity === 'per-channel' ? Math.floor(i / 8) : 0]!;
          assert.ok(Math.abs(value - codes[i]! * scale) <= scale * 1.501);
        }
      },
    ),
  );
});

test('a row keeps 8 bits unless two that meet are both large', () => {
  const bounds = codeBounds(conv([1, 2, 1, 2]), 'avx2', 'keep'); // 0 meets 2, 1 meets 3
  const codesOf = (values: readonly number[]) => [
    ...quantizeWeight(
      {
        values: Float32Array.from(values),
        channelCount: 1,
        axis: 0,
        bias: undefined,
        inputScale: 1,
      },
      { granularity: 'per-channel', range: 'max', ...bounds },
    ).codes,
  ];
  assert.deepEqual(codesOf([127, 127, -127, 1]), [127, 127, -127, 1]); // 0 and 2 have two signs
  assert.deepEqual(codesOf([128, 0, 128, 0]), [64, 0, 64, 0]);
  assert.deepEqual(codesOf([-120, 3, -40, 0]), [-96, 2, -32, 0]); // 160 become 128
});
