import type { Split } from '../../src/data/dataset-index.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { writeShardFixture, type ShardFixtureImage } from './image-shards-fixture.ts';

/** Shards of reddish and bluish noise, two classes that any network can tell apart. */
export async function writeColouredShards(
  folder: string,
  {
    size,
    imagesPerClass,
  }: { readonly size: number; readonly imagesPerClass: Partial<Record<Split, number>> },
): Promise<void> {
  const splits: Partial<Record<Split, ShardFixtureImage[]>> = {};
  for (const split of ['train', 'validation', 'test'] as const) {
    const count = 2 * (imagesPerClass[split] ?? 0);
    splits[split] = Array.from({ length: count }, (_, index) => {
      const label = index % 2;
      const id = `${split}/${index}`;
      const random = createRandom(0, id);
      const pixels = Uint8Array.from({ length: size * size * 3 }, (_, i) => {
        const bright = i % 3 === (label === 0 ? 0 : 2);
        return random.integer(128) + (bright ? 100 : 0);
      });
      return { entry: { id, label, copy: 0 }, pixels };
    });
  }
  await writeShardFixture(folder, { size, classes: ['red', 'blue'], splits });
}
