import type { Split } from '../data/dataset-index.ts';
import { openImageSource, type ImageSource } from '../data/image-source.ts';
import { inputFormOf } from '../data/network-input.ts';
import { openOnnxSession, type OnnxSession, type OnnxTensor } from '../runtime/onnx-session.ts';

/** Images of one split of an image source (see `openImageSource`), to be run in this order. */
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
  /** See `SessionOptions`. */
  readonly configuration?: Readonly<Record<string, string>>;
}

/** The model that ran last stays open until another runs, files as long as the thread lives. */
let open: { readonly modelPath: string; readonly session: Promise<OnnxSession> } | undefined;
const sources = new Map<string, Promise<ImageSource>>();

/**
 * Runs the model over the images, one batch at a time; `onOutputs` gets each batch's outputs and the
 * positions of its images in the split.
 */
export async function runImageBatches(
  run: ImageRun,
  onOutputs: (
    outputs: Readonly<Record<string, OnnxTensor>>,
    imageCount: number,
    indices: readonly number[],
  ) => void,
): Promise<void> {
  await eachBatch(run, async (session, feeds, imageCount, indices) => {
    onOutputs(await session.run(feeds), imageCount, indices);
  });
}

/** Reads the images one batch at a time, ready for the model's first input. */
export async function eachBatch(
  { modelPath, images, batchSize, graphOptimization, configuration }: ImageRun,
  onBatch: (
    session: OnnxSession,
    feeds: Readonly<Record<string, OnnxTensor>>,
    imageCount: number,
    indices: readonly number[],
  ) => Promise<void>,
): Promise<void> {
  if (open?.modelPath !== modelPath) {
    await releaseModel();
    const session = openOnnxSession(modelPath, {
      threadCount: 1,
      graphOptimization,
      memory: 'arena',
      ...(configuration === undefined ? {} : { configuration }),
    });
    open = { modelPath, session };
  }
  const session = await open.session;
  const source = await openedSource(images.folder);
  const [inputName = ''] = session.inputNames;
  const form = inputFormOf(session.inputTypes[0] ?? '', session.inputShapes[0] ?? []);
  for (let start = 0; start < images.indices.length; start += batchSize) {
    const batch = images.indices.slice(start, start + batchSize);
    const input = await source.read(images.split, batch, form);
    await onBatch(session, { [inputName]: input }, batch.length, batch);
  }
}

/** Gives back what the model that ran last holds: a ResNet-50's activations are tens of MB. */
export async function releaseModel(): Promise<void> {
  const last = open;
  open = undefined;
  await last?.session.then(
    (session) => session.release(),
    () => undefined, // it could not be opened, which was told then
  );
}

/** What messages call an image of a folder that was opened to run. */
export async function shownImage(
  { folder, split }: ImageSelection,
  index: number,
): Promise<string> {
  return (await openedSource(folder)).nameOf(split, index);
}

function openedSource(folder: string): Promise<ImageSource> {
  const source = sources.get(folder) ?? openImageSource(folder);
  sources.set(folder, source);
  return source;
}
