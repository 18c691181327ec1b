import { openImageSource } from '../data/image-source.ts';
import type { InputForm, NetworkInput } from '../data/network-input.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';

/** The first of the images in a form that a model takes. */
export async function readFirstImage(
  images: ImageSelection,
  form: InputForm,
): Promise<NetworkInput> {
  const source = await openImageSource(images.folder);
  try {
    return await source.read(images.split, images.indices.slice(0, 1), form);
  } finally {
    await source.close();
  }
}
