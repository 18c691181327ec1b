import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Digest } from '../stage/artifact.ts';

export interface HashedFile {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Large enough that system calls cost nothing beside hashing, small enough to keep the loop responsive. */
const CHUNK_BYTES = 1024 * 1024;

/** Digest of a file's bytes, read in pieces: memory does not grow with the file. */
export async function hashFile(path: string): Promise<HashedFile> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(size + 1, CHUNK_BYTES)));
    let sizeBytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
    return { digest: hash.digest('hex') as Digest, sizeBytes }; // SHA-256 in hexadecimal is the brand
  } catch (error) {
    // Unlike one of opening it, an error of reading does not tell which file it is about.
    throw error instanceof Error ? Object.assign(error, { path }) : error;
  } finally {
    await file.close();
  }
}

/** Digest of bytes in memory; text is hashed as UTF-8. */
export function hashBytes(content: string | Uint8Array): Digest {
  return createHash('sha256').update(content).digest('hex') as Digest; // as above
}
