import { StageError } from '../diagnostics/errors.ts';
import { availableMemory } from '../runtime/available-memory.ts';
import type { MemoryPlan } from './memory-estimate.ts';
import { memoryProblem } from './memory-problem.ts';

/** @throws StageError `training/no-memory` where the machine would run out of memory in the first step. */
export function requireMemory(plan: MemoryPlan, availableBytes = availableMemory()): void {
  const problem = memoryProblem(plan, availableBytes);
  if (problem !== null) throw new StageError({ code: 'training/no-memory', ...problem });
}
