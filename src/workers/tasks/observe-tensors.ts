import { OnnxError } from '../../diagnostics/errors.ts';
import { createHistogramObserver } from '../../quantization/observers/histogram.ts';
import { createMinMaxObserver } from '../../quantization/observers/min-max.ts';
import type { ObserverState } from '../../quantization/observers/observer.ts';
import { runImageBatches, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** The model has every tensor of `tensors` among its outputs or inputs. */
export interface ObserveRequest {
  readonly run: ImageRun;
  readonly tensors: readonly string[];
  readonly observer: 'min-max' | 'histogram';
}

/** One state a tensor, in the order of the request. */
export type ObserveResponse = TaskResult<readonly ObserverState[]>;

/** Shows every value of every tensor to an observer; keeps none. */
export function run({ run, tensors, observer }: ObserveRequest): Promise<ObserveResponse> {
  return settleTask(async () => {
    const create = observer === 'min-max' ? createMinMaxObserver : createHistogramObserver;
    const observers = tensors.map((tensor) => ({ tensor, observer: create(tensor) }));
    await runImageBatches(run, (outputs) => {
      for (const { tensor, observer } of observers) {
        const data = outputs[tensor]?.data;
        if (!(data instanceof Float32Array)) throw notFloat(tensor);
        observer.observe(data);
      }
    });
    return observers.map(({ observer }) => observer.finish());
  });
}

function notFloat(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${tensor}" is not float32, so it cannot be calibrated`,
    hint: 'quantize a float32 model',
  });
}
