import { normalizeToNchw, openShardReader, type ShardReader } from '../data/image-shards.ts';
import type { Split } from '../data/dataset-index.ts';
import { openOnnxSession, type OnnxSession, type OnnxTensor } from '../runtime/onnx-session.ts';

/** Images of one split of an image-shards artifact, to be run in this order. */
export interface ImageSelection {
  readonly folder: string;
  readonly split: Split;
  readonly indices: readonly number[];
}

export interface ImageRun {
  readonly modelPath: string;
  readonly images: ImageSelection;
  readonly batchSize: number;
  /** `disabled` keeps every operator of the model as it is. */
  readonly graphOptimization: 'disabled' | 'all';
}

/** Sessions and files stay open as long as the thread lives. */
const sessions = new Map<string, Promise<OnnxSession>>();
const readers = new Map<string, Promise<ShardReader>>();

/** Runs the model over the images, one batch at a time; `onOutputs` gets each batch's outputs. */
export async function runImageBatches(
  { modelPath, images, batchSize, graphOptimization }: ImageRun,
  onOutputs: (outputs: Readonly<Record<string, OnnxTensor>>, imageCount: number) => void,
): Promise<void> {
  const session = await cached(sessions, modelPath, () =>
    openOnnxSession(modelPath, { threadCount: 1, graphOptimization }),
  );
  const reader = await cached(readers, images.folder, () => openShardReader(images.folder));
  const { width, height, normalization } = reader.shards;
  const pixelCount = width * height;
  const [inputName = ''] = session.inputNames;
  for (let start = 0; start < images.indices.length; start += batchSize) {
    const batch = images.indices.slice(start, start + batchSize);
    const pixels = new Uint8Array(batch.length * pixelCount * 3); // [N, H, W, 3]
    for (const [n, index] of batch.entries()) {
      await reader.read(images.split, index, pixels, n * pixelCount * 3);
    }
    const data = new Float32Array(pixels.length); // [N, 3, H, W]
    normalizeToNchw(pixels, batch.length, pixelCount, normalization, data);
    const dims = [batch.length, 3, height, width];
    onOutputs(await session.run({ [inputName]: { data, dims } }), batch.length);
  }
}

function cached<T>(
  known: Map<string, Promise<T>>,
  key: string,
  open: () => Promise<T>,
): Promise<T> {
  const existing = known.get(key);
  if (existing !== undefined) return existing;
  const opened = open();
  known.set(key, opened);
  return opened;
}
