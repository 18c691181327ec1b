import type { Split } from './dataset-index.ts';

/** A labelled photograph as found in a source, before it was opened. */
export interface SourceImage {
  /** Path below the source without extension, with `/`; with extension where that alone differs. */
  readonly id: string;
  /** Absolute path. */
  readonly path: string;
  /** As `readClassName` gives it. */
  readonly className: string;
  /** Absent when the source gives no splits. */
  readonly split?: Split;
  readonly group?: string;
}

/** What a source holds. */
export interface SourceContent {
  readonly images: readonly SourceImage[];
  /** Class folders without an image. */
  readonly emptyClasses: readonly string[];
  /** Folders with images beside those of the splits; none of their images is read. */
  readonly unreadFolders: readonly string[];
  /** Images that lie beside the class folders, which name no class; none of them is read. */
  readonly looseImages: readonly LooseImages[];
}

export interface LooseImages {
  /** Below the source; '' for the source itself. */
  readonly folder: string;
  readonly count: number;
}

const SPLIT_NAMES: Readonly<Record<string, Split>> = {
  train: 'train',
  training: 'train',
  val: 'validation',
  valid: 'validation',
  validation: 'validation',
  test: 'test',
  testing: 'test',
};

/**
 * A class's name in the one Unicode form (NFC) that names are compared in: macOS writes those of folders
 * decomposed, and a class spelt both ways would be two.
 */
export function readClassName(text: string): string {
  return text.normalize('NFC');
}

/** The split a folder or a cell means (`Training`, `val`, `TEST`), or undefined. */
export function parseSplitName(name: string): Split | undefined {
  const key = name.trim().toLowerCase();
  return Object.hasOwn(SPLIT_NAMES, key) ? SPLIT_NAMES[key] : undefined;
}
