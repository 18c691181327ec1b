import { open } from 'node:fs/promises';
import { elementCount } from './network.ts';

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: 'F32' | 'I64';
  readonly shape: readonly number[];
  /** Called once, when it is the entry's turn to be written. */
  readonly data: () => Float32Array | BigInt64Array;
}

const BYTES_OF_DTYPE = { F32: 4, I64: 8 } as const;
/** The header is filled up with spaces to a multiple of this, as huggingface/safetensors does. */
const ALIGNMENT = 8;

/** Writes tensors as safetensors (huggingface/safetensors, "Format"), those of the widest type first. */
export async function writeSafetensors(
  path: string,
  entries: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  // Wide first, so that each tensor begins at a multiple of its width.
  const ordered = entries.toSorted((a, b) => BYTES_OF_DTYPE[b.dtype] - BYTES_OF_DTYPE[a.dtype]);
  const file = await open(path, 'w');
  try {
    await file.writeFile(headerBytes(ordered, metadata));
    for (const entry of ordered) {
      const { buffer, byteOffset, byteLength } = entry.data();
      await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength));
    }
  } finally {
    await file.close();
  }
}

function headerBytes(
  entries: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const header = new Map<string, unknown>([['__metadata__', metadata]]);
  let offset = 0;
  for (const { name, dtype, shape } of entries) {
    const end = offset + elementCount(shape) * BYTES_OF_DTYPE[dtype];
    header.set(name, { dtype, shape, data_offsets: [offset, end] });
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const padded = Math.ceil(text.length / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  text.copy(bytes, 8);
  return bytes;
}
