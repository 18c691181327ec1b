import type { ImageShards } from '../data/image-shards.ts';
import type { Split } from '../data/dataset-index.ts';
import { DataError } from '../diagnostics/errors.ts';
import { createRandom, shuffled } from '../numeric/random.ts';

export interface SampleSelection {
  /** Positions in the split, ascending. */
  readonly indices: readonly number[];
  readonly ids: readonly string[];
}

/**
 * `count` different images of a split, drawn by seed; all of them where there are fewer. Replicas of
 * an image are left out. A larger count with the same seed contains the smaller one.
 * @throws DataError `quantization/no-images`
 */
export function selectSamples(
  shards: ImageShards,
  { split, count, seed }: { split: Split; count: number; seed: number },
): SampleSelection {
  const { entries } = shards.splits[split];
  const originals = entries.flatMap((entry, index) => (entry.copy === 0 ? [index] : []));
  if (originals.length === 0) throw noImages(split, shards);
  const drawn = shuffled(originals, createRandom(seed, 'calibration')).slice(0, count);
  const indices = drawn.sort((a, b) => a - b);
  return { indices, ids: indices.map((index) => entries[index]!.id) }; // from the entries' own indices
}

/**
 * The positions of `ids` in a split, in their order.
 * @throws DataError `quantization/unknown-sample`
 */
export function locateSamples(shards: ImageShards, split: Split, ids: readonly string[]): number[] {
  const known = new Map<string, number>();
  for (const [index, { id, copy }] of shards.splits[split].entries.entries()) {
    if (copy === 0) known.set(id, index);
  }
  return ids.map((id) => {
    const index = known.get(id);
    if (index !== undefined) return index;
    throw new DataError({
      code: 'quantization/unknown-sample',
      message: `image "${id}" of the calibration table is not in split ${split} of the images`,
      hint: 'give the quantize stage the images the table was calibrated on',
    });
  });
}

function noImages(split: Split, shards: ImageShards): DataError {
  const others = Object.entries(shards.splits)
    .filter(([, { entries }]) => entries.length > 0)
    .map(([name, { entries }]) => `${name} (${entries.length})`);
  return new DataError({
    code: 'quantization/no-images',
    message: `split ${split} has no images to calibrate on; splits with images: ${others.join(', ') || 'none'}`,
    hint: 'choose another split with the parameter "split"',
  });
}
