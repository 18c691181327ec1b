import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dataFilesOf } from './external-data.ts';
import { decodeOnnx } from './reader.ts';

/** Bytes of the model's file and of those beside it that hold its data. */
export async function modelBytes(path: string): Promise<number> {
  const files = await dataFilesBeside(path);
  const sizes = await Promise.all([path, ...files].map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Paths of the files beside a model that hold its data. */
export async function dataFilesBeside(path: string): Promise<string[]> {
  const model = decodeOnnx(await readFile(path), path);
  return dataFilesOf(model, path).map((name) => join(dirname(path), name));
}
