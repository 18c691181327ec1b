import { createRandom, shuffled } from '../numeric/random.ts';
import type { Recipe } from './recipe.ts';

/** The train images of each step of an epoch; the same for the same seed and epoch. */
export function epochBatches(
  imageCount: number,
  { batchSize, seed }: Pick<Recipe, 'batchSize' | 'seed'>,
  epoch: number,
): number[][] {
  const random = createRandom(seed, `sampler/${epoch}`);
  const order = shuffled(
    Array.from({ length: imageCount }, (_, index) => index),
    random,
  );
  return inBatches(order, batchSize);
}

/** A last batch of one image would give batch norm nothing to average in 1x1 maps: it joins the one before. */
function inBatches(order: readonly number[], batchSize: number): number[][] {
  const batches: number[][] = [];
  for (let start = 0; start < order.length; start += batchSize) {
    batches.push(order.slice(start, start + batchSize));
  }
  const last = batches.at(-1);
  if (batches.length > 1 && last?.length === 1) {
    batches.pop();
    batches.at(-1)?.push(...last);
  }
  return batches;
}
