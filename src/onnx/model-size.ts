import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dataFilesOf } from './external-data.ts';
import { decodeOnnx } from './reader.ts';

/** Bytes of the model's file and of those beside it that hold its data. */
export async function modelBytes(path: string): Promise<number> {
  const model = decodeOnnx(await readFile(path), path);
  const files = dataFilesOf(model, path).map((name) => join(dirname(path), name));
  const sizes = await Promise.all([path, ...files].map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
