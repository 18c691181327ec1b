import { graphOf } from '../onnx/model.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { TryRangesRequest } from '../workers/tasks/try-ranges.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { markGraph } from './mark-graph.ts';
import type { ObserveOptions } from './observe-activations.ts';
import { planActivations } from './quantization-plan.ts';
import { runOverImages } from './run-over-images.ts';
import { withScratchModel } from './scratch-model.ts';
import { trialModel } from './trial-model.ts';

type TrialOptions = Omit<ObserveOptions, 'batchSize' | 'images' | 'onProgress'>;

/** The model's first output for each table, a row an image. */
type TryTables = (
  tables: readonly CalibrationTable['tensors'][],
  images: ImageSelection,
  onProgress?: (done: number) => void,
) => Promise<readonly (readonly Float32Array[])[]>;

/**
 * Without it onnxruntime's optimizers take pairs with scales that are inputs for equal ones: the
 * logits are wrong from `basic` on.
 */
const KEEP_PAIRS = { disable_quant_qdq: '1' };

/**
 * Calls `use` with a way to run the network with its activations rounded as tables say and its weights
 * in float. Scales and zero points are inputs of one model, so that a table costs a run and no session.
 */
export async function withRangeTrials<T>(
  options: TrialOptions,
  use: (tryTables: TryTables) => Promise<T>,
): Promise<T> {
  const marks = markGraph(graphOf(options.model));
  const { model, inputsOf } = trialModel(options.model, [...marks.tensors.keys()]);
  const scratch = {
    ...options,
    model,
    source: options.model,
    name: 'trial',
    graphOptimization: 'all' as const,
  };
  return withScratchModel({ ...scratch, configuration: KEEP_PAIRS }, (file, threads) =>
    use(async (tables, images, onProgress) => {
      const trials = tables.map((table) => inputsOf(planActivations(marks, { tensors: table })));
      const rows = tables.map((): Float32Array[] => []);
      await runOverImages<TryRangesRequest, readonly (readonly Float32Array[])[]>({
        ...options,
        threads,
        task: 'try-ranges',
        run: { ...file, images, batchSize: 1 },
        request: (run) => ({ run, trials }),
        chunkSize: 2, // a run a table, so that the last chunk keeps no worker waiting for long
        onChunk: (chunk) => {
          for (const [i, more] of chunk.entries()) rows[i]?.push(...more);
        },
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      return rows;
    }),
  );
}
