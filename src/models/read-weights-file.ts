import { open } from 'node:fs/promises';
import { DataError } from '../diagnostics/errors.ts';
import { readSafetensors, type StoredTensor } from './safetensors.ts';
import { readTorchFile } from './torch-file.ts';

/** Signature of a zip's first entry (APPNOTE.TXT 4.3.7); as a safetensors length it would be 67 MB of header. */
const ZIP_SIGNATURE = Buffer.from('PK\x03\x04', 'latin1');
/** How a pickle of protocol 2 begins with PyTorch's magic number (torch/serialization.py, `_legacy_save`). */
const LEGACY_SIGNATURE = Buffer.from([0x80, 0x02, 0x8a, 0x0a]);

/**
 * The float tensors of a weights file: PyTorch's zip or safetensors, told apart by their first bytes.
 * @throws DataError `models/malformed-weights` or `models/unsafe-pickle`.
 */
export async function readWeightsFile(path: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const signature = await firstBytes(path, 4);
  if (signature.equals(ZIP_SIGNATURE)) return readTorchFile(path);
  if (signature.equals(LEGACY_SIGNATURE)) {
    throw new DataError({
      code: 'models/malformed-weights',
      message: `${path} is a PyTorch file of the format before 1.6, which is not read`,
      hint: 'load and save it once with a later PyTorch: torch.save(torch.load(path, weights_only=True), path)',
    });
  }
  return (await readSafetensors(path)).tensors;
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
