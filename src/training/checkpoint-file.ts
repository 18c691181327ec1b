import { createHash } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../runtime/sync-folder.ts';

/** Form of the file; another one is not read. */
const MAGIC = 'drqckpt1';
const DIGEST_BYTES = 32;
const PREFIX_BYTES = MAGIC.length + 4;

export interface CheckpointContent {
  /** JSON; numbers that are not finite survive too. */
  readonly state: unknown;
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

interface Head {
  readonly state: unknown;
  /** Names and element counts, in the order of the data. */
  readonly tensors: readonly (readonly [string, number])[];
}

/**
 * Writes aside, waits for the disk and renames, so that no kill leaves half a file under `path`. Layout:
 * magic, uint32 length of the JSON, JSON, float32 data, SHA-256 of all before; little-endian.
 */
export async function writeCheckpointFile(
  path: string,
  { state, tensors }: CheckpointContent,
): Promise<void> {
  const head: Head = {
    state,
    tensors: [...tensors].map(([name, data]) => [name, data.length] as const),
  };
  const json = Buffer.from(JSON.stringify(head, encodeNumber));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(MAGIC, 'latin1');
  prefix.writeUInt32LE(json.length, MAGIC.length);
  const temporary = `${path}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      const hash = createHash('sha256');
      for (const part of [prefix, json, ...tensors.values()]) {
        const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
        hash.update(bytes);
        await file.writeFile(bytes);
      }
      await file.writeFile(hash.digest());
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Null when the file is torn, altered or of another form. */
export async function readCheckpointFile(path: string): Promise<CheckpointContent | null> {
  const bytes = await readFile(path);
  const end = bytes.length - DIGEST_BYTES;
  if (end < PREFIX_BYTES || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  const digest = createHash('sha256').update(bytes.subarray(0, end)).digest();
  if (!digest.equals(bytes.subarray(end))) return null;
  let offset = PREFIX_BYTES + bytes.readUInt32LE(MAGIC.length);
  // The digest is right, so this is what `writeCheckpointFile` wrote.
  const head = JSON.parse(bytes.toString('utf8', PREFIX_BYTES, offset), decodeNumber) as Head;
  const tensors = new Map<string, Float32Array>();
  for (const [name, length] of head.tensors) {
    const data = new Float32Array(length);
    new Uint8Array(data.buffer).set(bytes.subarray(offset, offset + data.byteLength));
    tensors.set(name, data);
    offset += data.byteLength;
  }
  return { state: head.state, tensors };
}

const NOT_FINITE = ['NaN', 'Infinity', '-Infinity'];

/** A validation loss may be infinite, for which JSON has no number. */
function encodeNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? { number: String(value) } : value;
}

function decodeNumber(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('number' in value)) return value;
  return NOT_FINITE.includes(String(value.number)) ? Number(value.number) : value;
}
