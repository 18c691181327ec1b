import type { OnnxTensor } from '../../runtime/onnx-session.ts';
import { floatsOf } from '../float-output.ts';
import { eachBatch, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export interface TryRangesRequest {
  readonly run: ImageRun;
  /** What each trial feeds besides the image. */
  readonly trials: readonly Readonly<Record<string, OnnxTensor>>[];
}

/** For each trial the model's first output, a row an image. */
export type TryRangesResponse = TaskResult<readonly (readonly Float32Array[])[]>;

/** Runs the model once a trial on every image. */
export function run({ run, trials }: TryRangesRequest): Promise<TryRangesResponse> {
  return settleTask(async () => {
    const rows = trials.map((): Float32Array[] => []);
    await eachBatch(run, async (session, feeds, imageCount) => {
      const [output = ''] = session.outputNames;
      for (const [i, trial] of trials.entries()) {
        const data = floatsOf(await session.run({ ...feeds, ...trial }), output);
        const width = data.length / imageCount;
        for (let n = 0; n < imageCount; n += 1)
          rows[i]?.push(data.slice(n * width, (n + 1) * width));
      }
    });
    return rows;
  });
}
