import { open } from 'node:fs/promises';
import { DataError } from '../diagnostics/errors.ts';
import { readSafetensors, type StoredTensors } from './safetensors.ts';
import { readTorchFile } from './torch-file.ts';
import { topologyOfMetadata, type WeightsTopology } from './weights-topology.ts';
import { withoutWrappers } from './wrapper-prefixes.ts';

export interface WeightsFile extends StoredTensors {
  /** Of the training that wrote the file, where it was a train stage. */
  readonly topology: WeightsTopology | null;
}

/** Signature of a zip's first entry (APPNOTE.TXT 4.3.7); as a safetensors length it would be 67 MB of header. */
const ZIP_SIGNATURE = Buffer.from('PK\x03\x04', 'latin1');
/** How a pickle of protocol 2 begins with PyTorch's magic number (torch/serialization.py, `_legacy_save`). */
const LEGACY_SIGNATURE = Buffer.from([0x80, 0x02, 0x8a, 0x0a]);

/** How people name files of torch.save, whatever is in them. */
const TORCH_NAME = /\.(pth|pt|bin|ckpt)$/i;

/**
 * The tensors of a weights file: PyTorch's zip or safetensors, told apart by their first bytes, under
 * the model's own names.
 * @throws DataError `models/malformed-weights` or `models/unsafe-pickle`.
 */
export async function readWeightsFile(path: string): Promise<WeightsFile> {
  const signature = await firstBytes(path, 9);
  if (signature.length === 0) throw malformed(path, 'is empty', DOWNLOAD_AGAIN);
  if (startsWith(signature, ZIP_SIGNATURE))
    return { ...(await readTorchFile(path)), topology: null };
  if (startsWith(signature, LEGACY_SIGNATURE)) {
    throw malformed(
      path,
      'is a PyTorch file of the format before 1.6, which is not read',
      'load and save it once with a later PyTorch: torch.save(torch.load(path, weights_only=True), path)',
    );
  }
  // The header of safetensors, which some name as they please: a length of 8 bytes and an object.
  const looksLikeSafetensors = signature[8] === '{'.charCodeAt(0);
  if (TORCH_NAME.test(path) && !looksLikeSafetensors) {
    throw malformed(
      path,
      'is no file of PyTorch 1.6 or later, which is a zip, nor safetensors',
      DOWNLOAD_AGAIN,
    );
  }
  const { tensors, integers, metadata } = await readSafetensors(path);
  return {
    tensors: withoutWrappers(tensors),
    integers: withoutWrappers(integers),
    topology: topologyOfMetadata(metadata, path),
  };
}

const DOWNLOAD_AGAIN =
  'download or export the file again: torch.save(model.state_dict(), path), or as safetensors';

function malformed(path: string, what: string, hint: string): DataError {
  return new DataError({
    code: 'models/malformed-weights',
    message: `${path} ${what}`,
    hint,
  });
}

function startsWith(bytes: Buffer, signature: Buffer): boolean {
  return bytes.subarray(0, signature.length).equals(signature);
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
