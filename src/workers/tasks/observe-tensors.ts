import { OnnxError } from '../../diagnostics/errors.ts';
import { createHistogramObserver } from '../../quantization/observers/histogram.ts';
import { createMinMaxObserver } from '../../quantization/observers/min-max.ts';
import type { Columns, ObservedOutputs } from '../../quantization/observation-model.ts';
import type { Observer, ObserverState } from '../../quantization/observers/observer.ts';
import { floatsOf } from '../float-output.ts';
import { runImageBatches, shownImage, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** The model has everything that `observed` names, and `collected`, among its outputs. */
export interface ObserveRequest {
  readonly run: ImageRun;
  /** With samples or all without: then only ranges are observed. */
  readonly observed: readonly ObservedOutputs[];
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

/** Shows what the model tells of every tensor to an observer; keeps none but the collected rows. */
export function run(request: ObserveRequest): Promise<ObserveResponse> {
  return settleTask(async () => {
    const { observed, heldOut, collected } = request;
    const newGroup = () => ({ observers: observed.map(createObserver), imageCount: 0 });
    const groups = { kept: newGroup(), heldOut: newGroup() };
    const rows: Float32Array[] = [];
    let observing: number | null = null;
    const running = runImageBatches(request.run, (outputs, imageCount, indices) => {
      for (const [n, index] of indices.entries()) {
        const group = heldOut.has(index) ? groups.heldOut : groups.kept;
        group.imageCount += 1;
        for (const [i, names] of observed.entries()) {
          const shareOf = (name: string): Float32Array =>
            imageShare(floatsOf(outputs, name, names.tensor), n, imageCount);
          observing = index;
          observeImage(group.observers[i]!, names, shareOf); // one a tensor
        }
        if (collected === undefined || group !== groups.heldOut) continue;
        rows.push(imageShare(floatsOf(outputs, collected), n, imageCount).slice());
      }
      observing = null;
    });
    await running.catch(async (error: unknown) => {
      throw observing === null
        ? error
        : onImage(error, await shownImage(request.run.images, observing));
    });
    const finish = ({ observers, imageCount }: ReturnType<typeof newGroup>) =>
      imageCount === 0 ? null : observers.map((observer) => observer.finish());
    return { kept: finish(groups.kept), heldOut: finish(groups.heldOut), rows };
  });
}

function createObserver({ tensor, sample }: ObservedOutputs): Observer {
  return sample === undefined ? createMinMaxObserver(tensor) : createHistogramObserver(tensor);
}

function observeImage(
  observer: Observer,
  { minimum, maximum, sum, sample }: ObservedOutputs,
  shareOf: (output: string) => Float32Array,
): void {
  const valuesAt = ({ output, first, count }: Columns): Float32Array =>
    shareOf(output).subarray(first, first + count);
  const range = {
    min: minimum === undefined ? 0 : leastOf(valuesAt(minimum)),
    max: mostOf(valuesAt(maximum)),
  };
  // Whether the least of values is NaN where one of them is depends on the CPU; of the sum it does not.
  if (sum !== undefined && valuesAt(sum).some(Number.isNaN)) range.min = NaN;
  observer.observe(sample === undefined ? new Float32Array() : shareOf(sample), range);
}

/** The same error, which also says on what image. */
function onImage(cause: unknown, shown: string): unknown {
  if (!(cause instanceof OnnxError)) return cause;
  const { code, message, hint } = cause;
  const said = { code, message: `${message}, on ${shown}`, cause };
  return new OnnxError(hint === undefined ? said : { ...said, hint });
}

/** NaN where a value is. */
function leastOf(values: Float32Array): number {
  let least = Infinity;
  for (const value of values) least = Math.min(least, value);
  return least;
}

/** NaN where a value is. */
function mostOf(values: Float32Array): number {
  let most = -Infinity;
  for (const value of values) most = Math.max(most, value);
  return most;
}

/** The n-th of `imageCount` equal parts of a tensor [N, …]. */
function imageShare(data: Float32Array, n: number, imageCount: number): Float32Array {
  const length = data.length / imageCount;
  return data.subarray(n * length, (n + 1) * length);
}
