import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InternalError } from '../diagnostics/errors.ts';
import { syncFolder } from '../runtime/sync-folder.ts';

/** Form of the file; another one is not read. */
const MAGIC = 'drqckpt1';
const DIGEST_BYTES = 32;
const PREFIX_BYTES = MAGIC.length + 4;
/** Read at a time: `readFile` refuses more than 2 GiB, which a large network with Adam exceeds. */
const PIECE_BYTES = 2 ** 24;

/** Values that are fetched when it is their turn, so that never more than one tensor is held twice. */
export interface CheckpointTensor {
  /** Elements. */
  readonly length: number;
  /** A copy, or what nobody changes. */
  readonly read: () => Float32Array;
}

export interface CheckpointContent {
  /** JSON; numbers that are not finite survive too. */
  readonly state: unknown;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
}

interface Head {
  readonly state: unknown;
  /** Names and element counts, in the order of the data. */
  readonly tensors: readonly (readonly [string, number])[];
}

/** A file whose values are all taken; until `finish` has ended it is not there for `readCheckpointFile`. */
export interface UnfinishedCheckpoint {
  /** Waits for the disk and renames. */
  finish(): Promise<void>;
}

/**
 * Writes aside; `finish` waits for the disk and renames, so that no kill leaves half a file under `path`.
 * Layout: magic, uint32 length of the JSON, JSON, float32 data, SHA-256 of all before; little-endian.
 */
export async function writeCheckpointFile(
  path: string,
  content: CheckpointContent,
): Promise<UnfinishedCheckpoint> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w');
  const giveUp = async (): Promise<void> => {
    await file.close();
    await rm(temporary, { force: true });
  };
  try {
    await writeContent(file, content);
  } catch (error) {
    await giveUp();
    throw error;
  }
  return {
    async finish() {
      try {
        await file.sync();
      } catch (error) {
        await giveUp();
        throw error;
      }
      await file.close();
      await rename(temporary, path);
      await syncFolder(dirname(path));
    },
  };
}

async function writeContent(
  file: FileHandle,
  { state, tensors }: CheckpointContent,
): Promise<void> {
  const head: Head = {
    state,
    tensors: [...tensors].map(([name, { length }]) => [name, length] as const),
  };
  const json = Buffer.from(JSON.stringify(head, encodeNumber));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(MAGIC, 'latin1');
  prefix.writeUInt32LE(json.length, MAGIC.length);
  const hash = createHash('sha256');
  const write = async (bytes: Uint8Array): Promise<void> => {
    hash.update(bytes);
    await file.writeFile(bytes);
  };
  await write(prefix);
  await write(json);
  for (const [name, tensor] of tensors) {
    const data = tensor.read();
    if (data.length !== tensor.length) {
      throw new InternalError(`${name} has ${data.length} values and not ${tensor.length}`);
    }
    await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  await file.writeFile(hash.digest());
}

/**
 * What `use` makes of the content, whose tensors can be read until it returns. Null when the file is torn,
 * altered or of another form.
 */
export async function readCheckpointFile<T>(
  path: string,
  use: (content: CheckpointContent) => T,
): Promise<T | null> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (!(await isWhole(file, size))) return null;
    const prefix = readExactly(file, 0, PREFIX_BYTES);
    if (prefix.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
    const jsonLength = prefix.readUInt32LE(MAGIC.length);
    const json = readExactly(file, PREFIX_BYTES, jsonLength).toString('utf8');
    // The digest is right, so this is what `writeCheckpointFile` wrote.
    const head = JSON.parse(json, decodeNumber) as Head;
    const tensors = new Map<string, CheckpointTensor>();
    let offset = PREFIX_BYTES + jsonLength;
    for (const [name, length] of head.tensors) {
      const from = offset;
      tensors.set(name, { length, read: () => readFloats(file, from, length) });
      offset += length * Float32Array.BYTES_PER_ELEMENT;
    }
    return use({ state: head.state, tensors });
  } finally {
    await file.close();
  }
}

/** Whether the file ends with the digest of all that stands before. */
async function isWhole(file: FileHandle, size: number): Promise<boolean> {
  const end = size - DIGEST_BYTES;
  if (end < PREFIX_BYTES) return false;
  const hash = createHash('sha256');
  const piece = Buffer.alloc(Math.min(PIECE_BYTES, end));
  for (let offset = 0; offset < end;) {
    const wanted = Math.min(piece.length, end - offset);
    const { bytesRead } = await file.read(piece, 0, wanted, offset);
    if (bytesRead === 0) return false; // cut off meanwhile
    hash.update(piece.subarray(0, bytesRead));
    offset += bytesRead;
  }
  return hash.digest().equals(readExactly(file, end, DIGEST_BYTES));
}

function readFloats(file: FileHandle, offset: number, length: number): Float32Array {
  const data = new Float32Array(length);
  fill(file, new Uint8Array(data.buffer), offset);
  return data;
}

function readExactly(file: FileHandle, offset: number, byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount);
  fill(file, bytes, offset);
  return bytes;
}

/** One read of the system gives 2 GiB at most. */
function fill(file: FileHandle, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length;) {
    const wanted = Math.min(bytes.length - done, PIECE_BYTES);
    const count = readSync(file.fd, bytes, done, wanted, offset + done);
    if (count === 0) throw new InternalError('a checkpoint became shorter while it was read');
    done += count;
  }
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
