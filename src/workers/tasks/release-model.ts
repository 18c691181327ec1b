import { releaseModel } from '../run-image-batches.ts';

/** Gives back what the model that ran last in this thread holds. */
export async function run(): Promise<null> {
  await releaseModel();
  return null;
}
