import type { ImageShards } from '../data/image-shards.ts';
import { SPLITS } from '../data/dataset-index.ts';
import { InternalError, StageError } from '../diagnostics/errors.ts';
import { exportOnnx, ONNX_INPUT, ONNX_OUTPUT } from '../models/export-onnx.ts';
import { encodeOnnx } from '../onnx/writer.ts';
import { writeFile } from 'node:fs/promises';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { NO_CHANGES, type BatchSource } from './batches.ts';
import { DIVERGED } from './divergence.ts';
import { firstCopies } from './evaluate-network.ts';
import { lookupOf, type NetworkRunner } from './network-runner.ts';

/** |onnx - network| over largest |network|, over all logits; float32 rounding gives about 1e-6. */
export const USUAL_EXPORT_ERROR = 1e-4;
/**
 * Another function than the network. A network that a high learning rate or tiny batches have made
 * ill-conditioned carries rounding alone to 6e-3 of its logits, in PyTorch's float32 as well.
 */
const WRONG_EXPORT_ERROR = 0.1;
const CHECKED_IMAGE_COUNT = 16;

export interface CheckedExportOptions {
  readonly tf: Tensorflow;
  readonly runner: NetworkRunner;
  readonly source: BatchSource;
  readonly shards: ImageShards;
  readonly path: string;
  readonly threadCount: number;
}

/**
 * Writes the network as ONNX and compares the file's logits in onnxruntime with the network's own on
 * real images; returns the relative difference.
 * @throws InternalError when the file is another function; StageError `training/diverged` when folding batch
 * norm into weights that have grown without bounds leaves no numbers.
 */
export async function exportCheckedOnnx(options: CheckedExportOptions): Promise<number> {
  await writeModel(options);
  const error = await exportError(options);
  if (!Number.isFinite(error)) {
    throw new StageError({
      code: DIVERGED,
      message:
        'the weights have grown so large that outputs are not finite once batch norm is folded into them',
      hint: 'lower "learningRate" (a tenth is a good next try), and keep images for validation, which show it earlier',
    });
  }
  if (!(error <= WRONG_EXPORT_ERROR)) {
    throw new InternalError(
      `the exported ONNX model differs from the trained network by ${error.toExponential(1)} relative, more than ${WRONG_EXPORT_ERROR}`,
    );
  }
  return error;
}

/** On its own, so that nothing of it is held while onnxruntime takes its memory. */
async function writeModel({ runner, shards, path }: CheckedExportOptions): Promise<void> {
  const { classes, normalization } = shards;
  const weights = lookupOf(runner.parameters);
  const model = exportOnnx(runner.network, weights, { classes, normalization });
  await writeFile(path, encodeOnnx(model));
}

async function exportError({
  tf,
  runner,
  source,
  shards,
  path,
  threadCount,
}: CheckedExportOptions): Promise<number> {
  const split = SPLITS.find((name) => shards.splits[name].entries.length > 0) ?? 'train';
  const indices = firstCopies(shards, split).slice(0, CHECKED_IMAGE_COUNT);
  const { imagesNhwc } = await source.request(split, indices, NO_CHANGES, '').finish();
  const { width, height } = shards;
  const [expected, imagesNchw] = tf.tidy(() => {
    const images = tf.tensor4d(imagesNhwc, [indices.length, height, width, 3]);
    return [
      runner.predict(images).dataSync<'float32'>(),
      images.transpose([0, 3, 1, 2]).dataSync<'float32'>(), // [N, H, W, 3] → [N, 3, H, W]
    ];
  });
  const session = await openOnnxSession(path, { threadCount });
  const outputs = await session.run({
    [ONNX_INPUT]: { data: imagesNchw, dims: [indices.length, 3, height, width] },
  });
  await session.release();
  const actual = outputs[ONNX_OUTPUT]?.data ?? [];
  if (actual.length !== expected.length)
    throw new InternalError('the exported model has other outputs');
  return relativeDifference(expected, actual);
}

/** max |a - b| / max |a|; NaN when the lengths differ or a value is not a number. */
export function relativeDifference(
  expected: ArrayLike<number>,
  actual: ArrayLike<number | bigint>,
): number {
  if (expected.length !== actual.length) return NaN;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const value = expected[i]!; // i is in range of both
    difference = Math.max(difference, Math.abs(value - Number(actual[i])));
    largest = Math.max(largest, Math.abs(value));
  }
  return largest === 0 ? difference : difference / largest;
}
