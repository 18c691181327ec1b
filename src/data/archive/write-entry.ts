import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ExtractionBudget } from './archive-limits.ts';

/** Makes a folder of the archive: one that stays empty is a class without images. */
export async function makeFolder(folder: string, path: string): Promise<void> {
  await mkdir(join(folder, path), { recursive: true });
}

/** Writes one entry's content below `folder`, counting its bytes as they come. */
export async function writeEntry(options: {
  readonly content: Readable;
  readonly folder: string;
  readonly path: string;
  readonly budget: ExtractionBudget;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { content, folder, path, budget, signal } = options;
  const target = join(folder, path);
  await mkdir(dirname(target), { recursive: true });
  const count = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      try {
        budget.addBytes(chunk.length);
        done(null, chunk);
      } catch (error) {
        done(error as Error); // addBytes throws DataError only
      }
    },
  });
  await pipeline(content, count, createWriteStream(target), { signal });
}
