import { OnnxError } from '../../diagnostics/errors.ts';
import { createHistogramObserver } from '../../quantization/observers/histogram.ts';
import { createMinMaxObserver } from '../../quantization/observers/min-max.ts';
import type { Observer, ObserverState } from '../../quantization/observers/observer.ts';
import { runImageBatches, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** The model has every tensor of `tensors`, and `collected`, among its outputs. */
export interface ObserveRequest {
  readonly run: ImageRun;
  readonly tensors: readonly string[];
  readonly observer: 'min-max' | 'histogram';
  /** Positions in the split of images whose values are kept apart. */
  readonly heldOut: ReadonlySet<number>;
  /** A small output whose values for the held-out images travel back. */
  readonly collected?: string;
}

export interface Observed {
  /** One state a tensor, in the order of the request; null where the request had no such image. */
  readonly kept: readonly ObserverState[] | null;
  readonly heldOut: readonly ObserverState[] | null;
  /** Of `collected`, a row a held-out image. */
  readonly rows: readonly Float32Array[];
}

export type ObserveResponse = TaskResult<Observed>;

/** Shows every value of every tensor to an observer; keeps none but the collected rows. */
export function run(request: ObserveRequest): Promise<ObserveResponse> {
  return settleTask(async () => {
    const { tensors, heldOut, collected } = request;
    const create = request.observer === 'min-max' ? createMinMaxObserver : createHistogramObserver;
    const newGroup = () => ({ observers: tensors.map(create), imageCount: 0 });
    const groups = { kept: newGroup(), heldOut: newGroup() };
    const rows: Float32Array[] = [];
    await runImageBatches(request.run, (outputs, imageCount, indices) => {
      for (const [n, index] of indices.entries()) {
        const group = heldOut.has(index) ? groups.heldOut : groups.kept;
        group.imageCount += 1;
        for (const [i, tensor] of tensors.entries()) {
          const values = shareOf(outputs[tensor]?.data, tensor, n, imageCount);
          observeImage(group.observers[i]!, values, { ...request.run.images, index }); // one a tensor
        }
        if (collected === undefined || group !== groups.heldOut) continue;
        rows.push(shareOf(outputs[collected]?.data, collected, n, imageCount).slice());
      }
    });
    const finish = ({ observers, imageCount }: ReturnType<typeof newGroup>) =>
      imageCount === 0 ? null : observers.map((observer) => observer.finish());
    return { kept: finish(groups.kept), heldOut: finish(groups.heldOut), rows };
  });
}

/** Observes, and says in what fails which image it was. */
function observeImage(
  observer: Observer,
  values: Float32Array,
  image: { split: string; index: number },
): void {
  try {
    observer.observe(values);
  } catch (cause) {
    if (!(cause instanceof OnnxError)) throw cause;
    const { code, message, hint } = cause;
    throw new OnnxError({
      code,
      message: `${message}, on image ${image.index} of split ${image.split}`,
      ...(hint === undefined ? {} : { hint }),
      cause,
    });
  }
}

/** The n-th of `imageCount` equal parts of a tensor [N, …]. */
function shareOf(data: unknown, tensor: string, n: number, imageCount: number): Float32Array {
  if (!(data instanceof Float32Array)) throw notFloat(tensor);
  const length = data.length / imageCount;
  return data.subarray(n * length, (n + 1) * length);
}

function notFloat(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${tensor}" is not float32, so it cannot be calibrated`,
    hint: 'quantize a float32 model',
  });
}
