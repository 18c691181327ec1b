import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetworkInput } from '../data/network-input.ts';
import { graphsOf } from '../onnx/attributes.ts';
import { cloneModel, type OnnxGraph, type OnnxModel } from '../onnx/model.ts';
import { writeOnnx } from '../onnx/writer.ts';
import { createWorkerPool } from '../workers/pool.ts';
import { unwrapTask } from '../workers/task-result.ts';
import type {
  ProfiledNode,
  ProfileRequest,
  ProfileResponse,
} from '../workers/tasks/profile-operators.ts';

/** Time that one kind of operator takes in a run of the int8 model. */
export interface OperatorTime {
  /** As onnxruntime runs it, after its optimisations. */
  readonly operator: string;
  readonly count: number;
  /** On one thread, all nodes of the operator together, in the fastest of the profiled runs. */
  readonly ms: number;
}

const WARMUP_RUNS = 3;
const PROFILED_RUNS = 15;

export interface OperatorTimesOptions {
  readonly model: OnnxModel;
  /** Its file. */
  readonly modelPath: string;
  readonly input: NetworkInput;
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
}

/** Where a model's time goes, operator by operator, the costliest first. */
export async function measureOperatorTimes(options: OperatorTimesOptions): Promise<OperatorTime[]> {
  const { model, input, scratchPath, signal } = options;
  const plain = withPlainNames(model);
  const modelPath = plain === null ? options.modelPath : join(scratchPath, 'plain-names.onnx');
  const pool = createWorkerPool<ProfileRequest, ProfileResponse>('profile-operators', 1);
  try {
    if (plain !== null) await writeOnnx(modelPath, plain);
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
    if (plain !== null) await rm(modelPath, { force: true });
  }
}

/** What JSON wants escaped; onnxruntime 1.30 writes names into its profile as they are. */
const NEEDS_ESCAPE = /["\\\p{Cc}]/u;

/** A copy with other names of nodes, which times do not depend on; null where all can stay. */
export function withPlainNames(model: OnnxModel): OnnxModel | null {
  const namesOf = (graph: OnnxGraph): readonly string[] =>
    graph.node.flatMap(({ name, output }) => [name, ...output]);
  if (!graphsOf(model).some((graph) => namesOf(graph).some((name) => NEEDS_ESCAPE.test(name)))) {
    return null;
  }
  const copy = cloneModel(model);
  const nodes = graphsOf(copy).flatMap((graph) => graph.node);
  for (const [i, node] of nodes.entries()) node.name = `node ${i}`;
  return copy;
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
