import type { DatasetImage } from '../../src/data/dataset-index.ts';

/** What `dataset.json` will say. */
export interface LabelledDataset {
  readonly classes: readonly string[];
  readonly images: readonly DatasetImage[];
}
