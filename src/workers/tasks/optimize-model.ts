import { basename } from 'node:path';
import { openOnnxSession } from '../../runtime/onnx-session.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export interface OptimizeRequest {
  readonly modelPath: string;
  /** Where the optimised graph goes, and its larger weights. */
  readonly optimized: { readonly path: string; readonly dataPath: string };
  /** See `SessionOptions`. */
  readonly configuration?: Readonly<Record<string, string>>;
}

/** Smaller tensors stay in the file of the graph itself. */
const LEAST_EXTERNAL_BYTES = 1024;

/**
 * Saves a model as onnxruntime optimises it for this machine. In a worker thread because of what that
 * takes: a ResNet-50's 200 MB stay with the allocator of the thread that freed them, where only
 * sessions can use them again.
 */
export function run({
  modelPath,
  optimized,
  configuration,
}: OptimizeRequest): Promise<TaskResult<null>> {
  return settleTask(async () => {
    const session = await openOnnxSession(modelPath, {
      threadCount: 1,
      graphOptimization: 'all',
      optimizedModelPath: optimized.path,
      configuration: {
        ...configuration,
        disable_prepacking: '1', // it runs nothing
        optimized_model_external_initializers_file_name: basename(optimized.dataPath),
        optimized_model_external_initializers_min_size_in_bytes: String(LEAST_EXTERNAL_BYTES),
      },
    });
    await session.release();
    return null;
  });
}
