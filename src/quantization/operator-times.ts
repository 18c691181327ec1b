import { join } from 'node:path';
import type { NetworkInput } from '../data/network-input.ts';
import { createWorkerPool } from '../workers/pool.ts';
import { unwrapTask } from '../workers/task-result.ts';
import type {
  ProfiledNode,
  ProfileRequest,
  ProfileResponse,
} from '../workers/tasks/profile-operators.ts';

export interface OperatorTime {
  /** As onnxruntime runs it, after its optimisations. */
  readonly operator: string;
  readonly count: number;
  /** On one thread, all nodes of the operator together, in the fastest of the profiled runs. */
  readonly ms: number;
}

const WARMUP_RUNS = 3;
const PROFILED_RUNS = 15;

/** Where a model's time goes, operator by operator, the costliest first. */
export async function measureOperatorTimes(
  modelPath: string,
  input: NetworkInput,
  scratchPath: string,
  signal?: AbortSignal,
): Promise<OperatorTime[]> {
  const pool = createWorkerPool<ProfileRequest, ProfileResponse>('profile-operators', 1);
  try {
    const response = await pool.run(
      {
        modelPath,
        input,
        warmupRuns: WARMUP_RUNS,
        runCount: PROFILED_RUNS,
        profilePrefix: join(scratchPath, `profile-${process.pid}`),
      },
      signal === undefined ? {} : { signal },
    );
    return summarizeNodes(unwrapTask(response));
  } finally {
    await pool.close();
  }
}

/**
 * Operators of profiled nodes in the fastest run, which a busy machine disturbed least; of one run, so
 * that the shares add up.
 */
export function summarizeNodes(nodes: readonly ProfiledNode[]): OperatorTime[] {
  const totals: number[] = [];
  for (const { durationsMs } of nodes) {
    for (const [run, ms] of durationsMs.entries()) totals[run] = (totals[run] ?? 0) + ms;
  }
  const fastest = totals.indexOf(totals.reduce((a, b) => Math.min(a, b), Infinity));
  const operators = new Map<string, OperatorTime>();
  for (const { operator, durationsMs } of nodes) {
    const { count, ms } = operators.get(operator) ?? { count: 0, ms: 0 };
    const own = durationsMs[fastest] ?? 0;
    operators.set(operator, { operator, count: count + 1, ms: ms + own });
  }
  return [...operators.values()].sort((a, b) => b.ms - a.ms || (a.operator < b.operator ? -1 : 1));
}
