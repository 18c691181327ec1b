import { resolve } from 'node:path';
import type { InputTensors, PhotographFolder } from './library-options.ts';

/** A folder of photographs whose path says the same wherever the process is working meanwhile. */
export interface ResolvedFolder extends PhotographFolder {
  /** As it was given, for messages and reports. */
  readonly shownFolder: string;
}

export type ResolvedImages = InputTensors | ResolvedFolder;

/** The images with the path of their folder, if they have one, made absolute. */
export function resolveFolder(images: InputTensors | PhotographFolder): ResolvedImages {
  if (!('folder' in images)) return images;
  return { ...images, folder: resolve(images.folder), shownFolder: images.folder };
}
