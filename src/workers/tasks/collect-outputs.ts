import { floatsOf } from '../float-output.ts';
import { runImageBatches, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export interface CollectRequest {
  readonly run: ImageRun;
  /** Names of float32 outputs that are small: every value travels back. */
  readonly outputs: readonly string[];
}

/** For each output float32 [N, …], N images in the order of the request. */
export type CollectResponse = TaskResult<readonly Float32Array[]>;

/** The named outputs for every image of the request. */
export function run({ run, outputs }: CollectRequest): Promise<CollectResponse> {
  return settleTask(async () => {
    const parts = outputs.map((): Float32Array[] => []);
    await runImageBatches(run, (results) => {
      for (const [i, name] of outputs.entries()) {
        parts[i]?.push(floatsOf(results, name).slice());
      }
    });
    return parts.map(concatenated);
  });
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const result = new Float32Array(total);
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}
