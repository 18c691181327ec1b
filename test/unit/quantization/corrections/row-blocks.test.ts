import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode } from '../../../../src/onnx/build.ts';
import { meetingWeights } from '../../../../src/quantization/code-bounds.ts';
import { rowBlocks } from '../../../../src/quantization/corrections/row-blocks.ts';

test('blocks are as long as allowed where nothing meets', () => {
  const sizes = (size: number) => rowBlocks(size, null).map((block) => block.size);
  assert.deepEqual(sizes(256), [256]);
  assert.deepEqual(sizes(600), [256, 256, 88]);
});

test('inputs that meet stay in one block, counted from its first', () => {
  for (const channels of [64, 15, 2]) {
    const node = makeNode({ opType: 'Conv', name: 'conv', inputs: ['x', 'w'], outputs: ['y'] });
    const layer = { node, weightDims: [16, channels, 5, 5], axis: 0 as const };
    const meeting = meetingWeights(layer, 'keep')!;
    const blocks = rowBlocks(meeting.length, meeting);
    let end = 0;
    for (const { first, size, meeting: inside } of blocks) {
      assert.equal(first, end);
      end += size;
      for (const [k, other] of inside!.entries()) {
        const expected = meeting[first + k]!;
        assert.equal(other, expected < 0 ? -1 : expected - first);
        assert.ok(other < size);
      }
    }
    assert.equal(end, meeting.length);
    // Two channels of 25 inputs each meet: 250 is the most below 256. Odd ones meet across the row.
    const expected =
      channels === 15 ? [374, 1] : channels === 2 ? [50] : [250, 250, 250, 250, 250, 250, 100];
    assert.deepEqual(
      blocks.map(({ size }) => size),
      expected,
    );
  }
});
