import { DataError } from '../diagnostics/errors.ts';
import type { Network, NetworkOptions } from '../models/network.ts';
import { buildNetwork } from '../models/zoo.ts';
import { estimateTrainingBytes, largestImageCount, type MemoryPlan } from './memory-estimate.ts';

export interface MemoryProblem {
  readonly message: string;
  readonly hint: string;
}

/** Pixels a side: the augment stage makes none smaller. */
const SMALLEST_SIZE = 8;
/** Images at a time; one alone gives batch norm too little. */
const FEWEST_IMAGES = 2;
const MORE_MEMORY = 'use a machine with more memory';

/**
 * Why a training does not fit into `availableBytes`, and the changes that would make it fit, by the estimate:
 * fewer images at a time; else smaller ones; else what the network itself can do without. Null: it fits.
 */
export function memoryProblem(plan: MemoryPlan, availableBytes: number): MemoryProblem | null {
  const needed = estimateTrainingBytes(plan);
  if (needed <= availableBytes) return null;
  const { imageSize, architecture } = plan.network.options;
  const message = `${plan.imageCount} images of ${imageSize} pixels at a time need about ${shown(needed)} in ${architecture}, and ${shown(availableBytes)} are free`;
  const count = largestImageCount(plan, availableBytes);
  if (count !== null) {
    return {
      message,
      hint: `set "microBatchSize" to ${count} or less: the batch then goes through the network in parts`,
    };
  }
  const sizePx = largestImageSize(plan, availableBytes);
  if (sizePx !== null) return { message, hint: `${imagesOf(sizePx)}, or ${MORE_MEMORY}` };
  return networkProblem(plan, availableBytes);
}

/** Of a network that takes too much whatever the images are. */
function networkProblem(plan: MemoryPlan, availableBytes: number): MemoryProblem {
  const { network, optimizer, hasWeightAverage } = plan;
  const average = hasWeightAverage ? ', the average' : '';
  const ways = savings(plan, availableBytes);
  if (fits({ ...network.options, ...SMALLEST_NETWORK }, plan, availableBytes)) {
    ways.push('train a smaller network');
  }
  return {
    message: `${network.options.architecture} does not fit, whatever the images: its weights, gradients, what ${optimizer} keeps${average} and the export take about ${shown(estimateTrainingBytes({ ...plan, imageCount: 0 }))}, and ${shown(availableBytes)} are free`,
    hint: [...ways, MORE_MEMORY].join(', or '),
  };
}

const SMALLEST_NETWORK = {
  architecture: 'mobilenet-v2',
  widthMultiplier: 0.1,
  imageSize: SMALLEST_SIZE,
} as const;

/** Each change of the recipe that is enough by itself; where none is, both if they are together. */
function savings(plan: MemoryPlan, availableBytes: number): string[] {
  const { optimizer, hasWeightAverage } = plan;
  const isAdam = optimizer === 'adam' || optimizer === 'adamw';
  const toSgd = `set "optimizer" to sgd, which keeps half of what ${optimizer} does`;
  const noAverage = 'leave "averageDecay" out';
  const enough = (text: string, change: Partial<MemoryPlan>): string[] => {
    const changed = { ...plan, ...change };
    if (fits(plan.network.options, changed, availableBytes)) return [text];
    const sizePx = largestImageSize(changed, availableBytes);
    return sizePx === null ? [] : [`${text} and ${imagesOf(sizePx)}`];
  };
  const single = [
    ...(hasWeightAverage ? enough(noAverage, { hasWeightAverage: false }) : []),
    ...(isAdam ? enough(toSgd, { optimizer: 'sgd' }) : []),
  ];
  if (single.length > 0 || !isAdam || !hasWeightAverage) return single;
  return enough(`${noAverage} and ${toSgd}`, { optimizer: 'sgd', hasWeightAverage: false });
}

/** Pixels a side of the largest smaller images of which a few fit; null: there are none. */
function largestImageSize(plan: MemoryPlan, availableBytes: number): number | null {
  const { options } = plan.network;
  const areFit = (imageSize: number): boolean =>
    fits({ ...options, imageSize }, plan, availableBytes);
  let low = SMALLEST_SIZE;
  while (low < options.imageSize && builtOrNull({ ...options, imageSize: low }) === null) low += 1;
  if (low >= options.imageSize || !areFit(low)) return null;
  for (let high = options.imageSize; high - low > 1;) {
    const middle = Math.floor((low + high) / 2);
    if (areFit(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function fits(options: NetworkOptions, plan: MemoryPlan, availableBytes: number): boolean {
  const network = builtOrNull(options);
  if (network === null) return false;
  const imageCount = Math.min(plan.imageCount, FEWEST_IMAGES);
  return estimateTrainingBytes({ ...plan, network, imageCount }) <= availableBytes;
}

/** Null: the architecture takes no images of that size. */
function builtOrNull(options: NetworkOptions): Network | null {
  try {
    return buildNetwork(options);
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

function imagesOf(sizePx: number): string {
  return `use images of ${sizePx} pixels or less`;
}

function shown(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
