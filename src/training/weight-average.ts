import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels } from './kernels.ts';
import type { NetworkRunner } from './network-runner.ts';

/** An exponential moving average of all weights, batch-norm statistics included. */
export interface WeightAverage {
  /** After step `step` (from 0) of the training. */
  update(step: number): void;
  /** A copy. */
  read(): Map<string, Float32Array>;
  write(weights: ReadonlyMap<string, Float32Array>): void;
  dispose(): void;
}

/**
 * average = d average + (1 - d) weights with d = min(decay, (1 + step) / (10 + step)), so that a short
 * training is not held back by its initial weights (tf.train.ExponentialMovingAverage, `num_updates`).
 */
export function createWeightAverage(
  tf: Tensorflow,
  runner: Pick<NetworkRunner, 'parameters'>,
  decay: number,
): WeightAverage {
  const kernels = createKernels(tf);
  const averages = new Map<string, Tensor>();
  const replace = (name: string, tensor: Tensor): void => {
    averages.get(name)?.dispose();
    averages.set(name, tf.keep(tensor));
  };
  // Copies: an optimizer may change weights where they lie.
  for (const [name, tensor] of runner.parameters) replace(name, tf.add(tensor, 0));
  return {
    update(step) {
      const share = 1 - Math.min(decay, (1 + step) / (10 + step));
      for (const [name, weight] of runner.parameters) {
        tf.tidy(() => {
          const average = averages.get(name) ?? weight; // there is one for each parameter
          const change = kernels.multiply(kernels.subtract(weight, average), tf.scalar(share));
          replace(name, kernels.add(average, change));
        });
      }
    },
    // Copies, like `readWeights`; all parameters are float32.
    read: () =>
      new Map([...averages].map(([name, tensor]) => [name, tensor.dataSync<'float32'>()])),
    write(weights) {
      for (const [name, data] of weights) {
        const shape = runner.parameters.get(name)?.shape;
        if (shape !== undefined) replace(name, tf.tensor(data, shape, 'float32'));
      }
    },
    dispose() {
      tf.dispose([...averages.values()]);
      averages.clear();
    },
  };
}
