import type { NoiseSums } from '../../metrics/sqnr.ts';
import { UINT8_MAX, type ActivationParameters } from '../../quantization/parameters.ts';
import { floatsOf } from '../float-output.ts';
import { runImageBatches, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** The model has every tensor among its outputs. */
export interface TensorNoiseRequest {
  readonly run: ImageRun;
  readonly tensors: readonly { readonly name: string; readonly parameters: ActivationParameters }[];
}

/** One entry a tensor, in the order of the request. */
export type TensorNoiseResponse = TaskResult<readonly NoiseSums[]>;

/** What rounding to uint8 costs each tensor of the float model; keeps no values. */
export function run({ run, tensors }: TensorNoiseRequest): Promise<TensorNoiseResponse> {
  return settleTask(async () => {
    const sums = tensors.map(() => ({ signal: 0, noise: 0 }));
    await runImageBatches(run, (outputs) => {
      for (const [i, { name, parameters }] of tensors.entries()) {
        addNoise(sums[i]!, floatsOf(outputs, name), parameters); // both lists follow `tensors`
      }
    });
    return sums;
  });
}

function addNoise(
  sums: { signal: number; noise: number },
  values: Float32Array,
  { scale, zeroPoint }: ActivationParameters,
): void {
  const lowest = -zeroPoint;
  const highest = UINT8_MAX - zeroPoint;
  let signal = 0;
  let noise = 0;
  // Halves may round either way here: the error is the same.
  for (const value of values) {
    const code = Math.min(Math.max(Math.round(value / scale), lowest), highest);
    const error = value - code * scale;
    signal += value * value;
    noise += error * error;
  }
  sums.signal += signal;
  sums.noise += noise;
}
