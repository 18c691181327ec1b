import { makeValueInfo } from '../../onnx/build.ts';
import { graphOf, type OnnxModel } from '../../onnx/model.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import type { CollectRequest } from '../../workers/tasks/collect-outputs.ts';
import type { ImagePass } from '../image-pass.ts';
import { runOverImages } from '../run-over-images.ts';
import { withScratchModel, type ScratchModelOptions } from '../scratch-model.ts';

/** A float model and the images to run it over. */
export interface CollectOptions extends ImagePass {
  /** Prepared by `prepareModel`; unchanged. */
  readonly model: OnnxModel;
  readonly batchSize: number;
}

export function setOutputs(model: OnnxModel, names: readonly string[]): void {
  graphOf(model).output = names.map((name) => makeValueInfo(name, 'any'));
}

/** Runs `model` over the images in one use of a scratch file of its own name. */
export async function collectOutputs(
  options: CollectOptions & Partial<Pick<ScratchModelOptions, 'graphOptimization' | 'source'>>,
  model: OnnxModel,
  outputs: readonly string[],
  images: ImageSelection,
  onChunk: (values: readonly Float32Array[]) => void,
): Promise<void> {
  const scratch = { graphOptimization: 'all' as const, ...options, model, name: 'equalized' };
  await withScratchModel(scratch, (file, threads) =>
    runOverImages<CollectRequest, readonly Float32Array[]>({
      ...options,
      threads,
      task: 'collect-outputs',
      run: { ...file, images, batchSize: options.batchSize },
      request: (run) => ({ run, outputs }),
      onChunk,
    }),
  );
}
