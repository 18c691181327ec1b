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
  /** Of one run on one thread, all nodes of the operator together: the median over the runs. */
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

/** Operators of profiled nodes, summed within each run and then taken in the middle. */
export function summarizeNodes(nodes: readonly ProfiledNode[]): OperatorTime[] {
  const operators = new Map<string, { count: number; totals: number[] }>();
  for (const { operator, durationsMs } of nodes) {
    const entry = operators.get(operator) ?? { count: 0, totals: [] };
    entry.count += 1;
    for (const [run, ms] of durationsMs.entries()) {
      entry.totals[run] = (entry.totals[run] ?? 0) + ms;
    }
    operators.set(operator, entry);
  }
  return [...operators]
    .map(([operator, { count, totals }]) => ({ operator, count, ms: median(totals) }))
    .sort((a, b) => b.ms - a.ms || (a.operator < b.operator ? -1 : 1));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
