import { availableMemory } from '../runtime/available-memory.ts';
import { StageError } from '../diagnostics/errors.ts';
import { estimateTrainingBytes, largestImageCount, type MemoryPlan } from './memory-estimate.ts';

/** @throws StageError `training/no-memory` where the machine would run out of memory in the first step. */
export function requireMemory(plan: MemoryPlan, availableBytes = availableMemory()): void {
  const needed = estimateTrainingBytes(plan);
  if (needed <= availableBytes) return;
  const fitting = largestImageCount(plan, availableBytes);
  throw new StageError({
    code: 'training/no-memory',
    message: `${plan.imageCount} images of ${plan.network.options.imageSize} pixels at a time need about ${shown(needed)} in ${plan.network.options.architecture}, and ${shown(availableBytes)} are free`,
    hint:
      fitting === null
        ? 'use smaller images or a machine with more memory'
        : `set "microBatchSize" to ${fitting} or less: the batch then goes through the network in parts`,
  });
}

function shown(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
