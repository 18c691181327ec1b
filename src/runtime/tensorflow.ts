import { createRequire } from 'node:module';
import type * as tensorflow from '@tensorflow/tfjs-node';
import { EnvironmentError } from '../diagnostics/errors.ts';
import { tensorflowStatus } from './tensorflow-location.ts';

export type Tensorflow = typeof tensorflow;

/**
 * TensorFlow with its native backend chosen; loaded at the first call (0.4 s), so only where it is needed.
 * @throws EnvironmentError `environment/no-tensorflow` with the reason and the remedy.
 */
export async function loadTensorflow(): Promise<Tensorflow> {
  const status = tensorflowStatus();
  if (status.state === 'missing') throw noTensorflow(status.reason, status.remedy);
  // Silences TensorFlow's banner about instruction sets.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  // TensorFlow turns oneDNN on by itself only where the CPU has VNNI. Elsewhere its own kernels take twice as long for
  // batch norm and up to seven times for gradients of convolutions, and half as much memory again.
  process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
  const requireFromHere = createRequire(import.meta.url);
  restoreIsNullOrUndefined(requireFromHere);
  let tf: Tensorflow;
  try {
    // By path: the package with a binding may lie outside the checkout. It is CommonJS.
    tf = requireFromHere(status.packagePath) as Tensorflow;
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw noTensorflow(`the binding does not load: ${reason}`, 'run `drq setup` again', cause);
  }
  await tf.setBackend('tensorflow');
  return tf;
}

/** Node 23 removed `util.isNullOrUndefined`, which tfjs-node 4.22 still calls. */
function restoreIsNullOrUndefined(requireFromHere: NodeJS.Require): void {
  // The module's own object, not its frozen ESM namespace.
  const commonJsUtil = requireFromHere('node:util') as {
    isNullOrUndefined?: (value: unknown) => boolean;
  };
  commonJsUtil.isNullOrUndefined ??= (value) => value === null || value === undefined;
}

function noTensorflow(reason: string, remedy: string, cause?: unknown): EnvironmentError {
  return new EnvironmentError({
    code: 'environment/no-tensorflow',
    message: `training needs the TensorFlow binding, which is missing: ${reason}`,
    hint: remedy,
    ...(cause === undefined ? {} : { cause }),
  });
}
