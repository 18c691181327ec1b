import type { ImageShards } from '../data/image-shards.ts';
import type { CalibrationTable } from './calibration-table.ts';
import type { LabelledImages } from './run-quantization.ts';

export interface HeldOutImages {
  readonly images: LabelledImages;
  /** For reports: which images these are. */
  readonly shown: string;
}

/**
 * Images that were not calibrated on: the validation split, or what the calibration left of its own
 * split where there is no validation split. Null when nothing is left. The test split is never used:
 * nothing may be chosen by it.
 */
export function heldOutImages(
  folder: string,
  shards: ImageShards,
  table: Pick<CalibrationTable, 'split' | 'samples'>,
): HeldOutImages | null {
  const used = new Set(table.samples);
  for (const split of ['validation', 'train'] as const) {
    const { entries } = shards.splits[split];
    const indices = entries.flatMap(({ id, copy }, index) =>
      copy === 0 && !(split === table.split && used.has(id)) ? [index] : [],
    );
    if (indices.length === 0) continue;
    const labels = indices.map((index) => entries[index]!.label); // from the entries' own indices
    const shown = split === table.split ? `${split} split, the rest of it` : `${split} split`;
    return { images: { folder, split, indices, labels }, shown };
  }
  return null;
}
