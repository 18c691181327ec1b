import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels } from './kernels.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Gradients } from './training-pass.ts';

export interface SgdOptions {
  readonly momentum: number;
  /** On every parameter, biases and batch norm included, as PyTorch's SGD does. */
  readonly weightDecay: number;
}

export interface Optimizer {
  /** One update; disposes the gradients. `learningRateOf` gives the rate of each parameter. */
  step(gradients: Gradients, learningRateOf: (name: string) => number): void;
  dispose(): void;
}

/**
 * Momentum SGD exactly as torch.optim.SGD (dampening 0, no Nesterov): v = momentum * v + g + decay * w,
 * w = w - rate * v. The rate multiplies the whole velocity, unlike in Sutskever et al. 2013.
 */
export function createSgd(
  tf: Tensorflow,
  runner: NetworkRunner,
  { momentum, weightDecay }: SgdOptions,
): Optimizer {
  const kernels = createKernels(tf);
  const velocities = new Map<string, Tensor>();
  const momentumScalar = tf.keep(tf.scalar(momentum));
  const decayScalar = tf.keep(tf.scalar(weightDecay));
  return {
    step(gradients, learningRateOf) {
      for (const [name, gradient] of gradients) {
        const weight = runner.parameters.get(name);
        if (weight === undefined) continue; // a gradient without a parameter cannot come about
        tf.tidy(() => {
          const old = velocities.get(name);
          const terms = [gradient];
          if (weightDecay !== 0) terms.push(kernels.multiply(weight, decayScalar));
          if (old !== undefined) terms.push(kernels.multiply(old, momentumScalar));
          const velocity = terms.length === 1 ? gradient.clone() : kernels.addAll(terms);
          old?.dispose();
          velocities.set(name, tf.keep(velocity));
          const change = kernels.multiply(velocity, tf.scalar(learningRateOf(name)));
          runner.replace(name, kernels.subtract(weight, change));
        });
        gradient.dispose();
      }
    },
    dispose() {
      for (const velocity of velocities.values()) velocity.dispose();
      velocities.clear();
      momentumScalar.dispose();
      decayScalar.dispose();
    },
  };
}
