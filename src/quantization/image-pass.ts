import type { ImageSelection } from '../workers/run-image-batches.ts';

/** What a pass of a model over images in worker threads needs. */
export interface ImagePass {
  readonly images: ImageSelection;
  readonly workerCount: number;
  /** A folder for models with extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}
