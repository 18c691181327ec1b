import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';

/** Scalars of one step by value: most parameters take the same, and to make one takes as long as a small update. */
export interface StepScalars {
  of(value: number): Tensor;
  /** At the end of the step. */
  dispose(): void;
}

export function createStepScalars(tf: Tensorflow): StepScalars {
  const scalars = new Map<number, Tensor>();
  return {
    of(value) {
      const scalar = scalars.get(value) ?? tf.scalar(value);
      scalars.set(value, scalar);
      return scalar;
    },
    dispose() {
      tf.dispose([...scalars.values()]);
      scalars.clear();
    },
  };
}
