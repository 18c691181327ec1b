import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { WeightLookup } from '../models/weights.ts';
import { nativeOperations, type OperationObserver } from './native-operations.ts';
import { createVariable } from './native-variables.ts';
import type { NetworkRunner } from './network-runner.ts';

/** An exponential moving average of all weights, batch-norm statistics included. */
export interface WeightAverage {
  /** Current averages by parameter name; `update` and `write` put others in their place. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** After step `step` (from 0) of the training. */
  update(step: number): void;
  /** Starts anew from the network's weights as they are now. */
  reset(): void;
  write(weights: WeightLookup): void;
  /** The network's weights become the averages and the other way round, without a copy of either. */
  exchange(): void;
  dispose(): void;
}

/**
 * average = d average + (1 - d) weights with d = min(decay, (1 + step) / (10 + step)), so that a short
 * training is not held back by its initial weights (tf.train.ExponentialMovingAverage, `num_updates`).
 */
export function createWeightAverage(
  tf: Tensorflow,
  runner: Pick<NetworkRunner, 'parameters' | 'replace' | 'take'>,
  decay: number,
  observe?: OperationObserver,
): WeightAverage {
  const native = nativeOperations(tf, observe);
  // The average being updated: one after the other takes its place in it.
  const updated = createVariable(tf, native);
  const averages = new Map<string, Tensor>();
  const replace = (name: string, tensor: Tensor): void => {
    averages.get(name)?.dispose();
    averages.set(name, tf.keep(tensor));
  };
  // Past tfjs's own layers, which take longer than the operation for most parameters.
  const subtract = (a: Tensor, b: Tensor): Tensor =>
    native.execute('Sub', [native.type('T', native.float32)], [a, b], 1)[0]!; // one was asked for
  const update = (name: string, weight: Tensor, share: Tensor): void => {
    const average = averages.get(name) ?? weight; // there is one for each parameter
    const difference = subtract(average, weight);
    updated.assign(average);
    averages.delete(name);
    average.dispose(); // what nobody shares is changed in place
    updated.subtractScaled(share, difference);
    difference.dispose();
    replace(name, updated.read());
  };
  const reset = (): void => {
    // Copies: an optimizer may change weights where they lie.
    for (const [name, tensor] of runner.parameters) replace(name, tf.add(tensor, 0));
  };
  reset();
  return {
    tensors: averages,
    update(step) {
      const share = tf.scalar(1 - Math.min(decay, (1 + step) / (10 + step)));
      for (const [name, weight] of runner.parameters) update(name, weight, share);
      const zero = tf.scalar(0);
      updated.assign(zero); // else a change of the last average would copy it
      tf.dispose([share, zero]);
    },
    reset,
    write(weights) {
      for (const [name, { shape }] of runner.parameters) {
        const data = weights.get(name);
        if (data !== undefined) replace(name, tf.tensor(data, shape, 'float32'));
      }
    },
    exchange() {
      for (const [name, average] of [...averages]) {
        const weight = runner.take(name);
        runner.replace(name, average);
        averages.set(name, tf.keep(weight));
      }
    },
    dispose() {
      updated.dispose();
      tf.dispose([...averages.values()]);
      averages.clear();
    },
  };
}
