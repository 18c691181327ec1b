import { createRandom, shuffled, type Random } from '../numeric/random.ts';
import type { Recipe } from './recipe.ts';

/**
 * The train images of each step of an epoch; the same for the same seed and epoch. `balanced`: as many
 * images as there are, but equally many of each class, so that those of rare ones come again and again
 * and of frequent ones only some.
 */
export function epochBatches(
  labels: readonly number[],
  { batchSize, seed, sampling }: Pick<Recipe, 'batchSize' | 'seed' | 'sampling'>,
  epoch: number,
): number[][] {
  const random = createRandom(seed, `sampler/${epoch}`);
  const images = sampling === 'balanced' ? balancedDraw(labels, random) : [...labels.keys()];
  return inGroups(shuffled(images, random), batchSize);
}

/**
 * Groups in order. A last group of one image would give batch norm nothing to average in 1x1 maps: it
 * joins the one before, unless all groups are of one.
 */
export function inGroups<T>(items: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let start = 0; start < items.length; start += size) {
    groups.push(items.slice(start, start + size));
  }
  const last = groups.at(-1);
  if (size > 1 && groups.length > 1 && last?.length === 1) {
    groups.pop();
    groups.at(-1)?.push(...last);
  }
  return groups;
}

/** One image of each class in turn; no image comes again before all others of its class did. */
function balancedDraw(labels: readonly number[], random: Random): number[] {
  const byClass = new Map<number, number[]>();
  labels.forEach((label, index) => {
    const images = byClass.get(label);
    if (images === undefined) byClass.set(label, [index]);
    else images.push(index);
  });
  const classes = [...byClass.entries()].sort(([a], [b]) => a - b).map(([, images]) => images);
  // Which classes have one image more than others changes by epoch.
  const turns = shuffled(classes, random);
  const queues = turns.map(() => [] as number[]);
  return labels.map((_label, i) => {
    const turn = i % turns.length; // both lists have one a class
    if (queues[turn]!.length === 0) queues[turn] = shuffled(turns[turn]!, random);
    return queues[turn]!.pop()!; // filled the moment before
  });
}
