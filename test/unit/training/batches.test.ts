import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openShardReader } from '../../../src/data/image-shards.ts';
import {
  createBatchSource,
  NO_CHANGES,
  type BatchSource,
  type ImageChanges,
} from '../../../src/training/batches.ts';
import { writeShardFixture } from '../../support/image-shards-fixture.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

const SIZE = 4;

/** Images whose red value is 10 * row + column, green its image's number, blue 255. */
async function sourceOf(context: TestContext, seed: number): Promise<BatchSource> {
  const folder = await temporaryFolder(context);
  await writeShardFixture(folder, {
    size: SIZE,
    classes: ['a', 'b'],
    splits: {
      train: [0, 1, 2].map((image) => ({
        entry: { id: `i${image}`, label: image % 2, copy: 0 },
        pixels: Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) => {
          const position = Math.floor(i / 3);
          const red = 10 * Math.floor(position / SIZE) + (position % SIZE);
          return [red, image, 255][i % 3] ?? 0;
        }),
      })),
    },
  });
  const reader = await openShardReader(folder);
  context.after(() => reader.close());
  return createBatchSource(reader, seed);
}

/** Red values of the first image, by row. */
function redRows(images: Float32Array): number[][] {
  return Array.from({ length: SIZE }, (_, row) =>
    Array.from({ length: SIZE }, (_, column) =>
      Math.round((images[(row * SIZE + column) * 3] ?? NaN) * 255),
    ),
  );
}

test('images come normalized, in the order asked for, with their labels', async (context) => {
  const source = await sourceOf(context, 0);
  const { imagesNhwc, labels } = await source.request('train', [2, 1], NO_CHANGES, '').finish();
  assert.deepEqual([...labels], [0, 1]);
  assert.equal(imagesNhwc.length, 2 * SIZE * SIZE * 3);
  assert.ok(Math.abs((imagesNhwc[1] ?? NaN) - 2 / 255) < 1e-7);
  assert.equal(imagesNhwc[2], 1);
  assert.deepEqual(redRows(imagesNhwc)[1], [10, 11, 12, 13]);
});

test('batches of any size that are read ahead come as they would alone', async (context) => {
  const alone = async (indices: readonly number[]): Promise<number[]> => {
    const source = await sourceOf(context, 0);
    return [...(await source.request('train', indices, NO_CHANGES, '').finish()).imagesNhwc];
  };
  const batches = [[0], [2, 1], [1], [0, 2]];
  const source = await sourceOf(context, 0);
  const start = (indices: readonly number[] = []) =>
    source.request('train', indices, NO_CHANGES, '');
  let pending = start(batches[0]);
  for (const [i, indices] of batches.entries()) {
    const reading = pending;
    pending = start(batches[i + 1]); // before the batch is finished
    const { imagesNhwc } = await reading.finish();
    assert.deepEqual([...imagesNhwc], await alone(indices));
  }
  await pending.finish();
});

test('flips mirror columns and rows; the same stream changes an image alike in any batch', async (context) => {
  const source = await sourceOf(context, 0);
  const changes: ImageChanges = { flip: 'both', shiftFraction: 0 };
  const seen = new Set<string>();
  for (let epoch = 0; epoch < 40; epoch += 1) {
    const alone = await source.request('train', [0], changes, `e${epoch}`).finish();
    const rows = redRows(alone.imagesNhwc);
    seen.add(String(rows[0]?.[0]));
    const later = await source.request('train', [1, 0], changes, `e${epoch}`).finish();
    assert.deepEqual(redRows(later.imagesNhwc.subarray(SIZE * SIZE * 3)), rows);
  }
  // The corner that comes to the top left: none, columns, rows, both flipped.
  assert.deepEqual([...seen].sort(), ['0', '3', '30', '33']);
});

test('shifts bring in black, and stay within their bound', async (context) => {
  const source = await sourceOf(context, 0);
  const changes: ImageChanges = { flip: 'none', shiftFraction: 0.25 };
  const corners = new Set<number>();
  for (let epoch = 0; epoch < 60; epoch += 1) {
    const { imagesNhwc } = await source.request('train', [0], changes, `e${epoch}`).finish();
    corners.add(redRows(imagesNhwc)[1]?.[1] ?? NaN);
  }
  // Position (1, 1) shows (row, column) within one of it.
  assert.deepEqual(
    [...corners].sort((a, b) => a - b),
    [0, 1, 2, 10, 11, 12, 20, 21, 22],
  );
});

test('an image that comes twice in a batch is changed in two ways, the first as if it came once', async (context) => {
  const source = await sourceOf(context, 3);
  const changes: ImageChanges = { flip: 'both', shiftFraction: 0.5 };
  const of = async (indices: readonly number[]): Promise<Float32Array[]> => {
    const { imagesNhwc } = await source.request('train', indices, changes, 'epoch-1').finish();
    const size = SIZE * SIZE * 3;
    return indices.map((_, n) => imagesNhwc.slice(n * size, (n + 1) * size));
  };
  const [alone] = await of([0]);
  const many = await of([0, 1, 0, 0, 0, 0]);
  assert.deepEqual(many[0], alone);
  const looks = new Set([0, 2, 3, 4, 5].map((n) => many[n]!.join()));
  assert.ok(looks.size >= 3, `${looks.size} of 5 look different`);
});
