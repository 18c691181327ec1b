import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { Kernels } from './kernels.ts';

export const OPTIMIZERS = ['sgd', 'nesterov', 'adam', 'adamw'] as const;

export interface OptimizerOptions {
  readonly optimizer: (typeof OPTIMIZERS)[number];
  /** Of sgd and nesterov. */
  readonly momentum: number;
  /** Of adam and adamw: how much of the mean gradient and of the mean square each step keeps. */
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What PyTorch calls a parameter group: how one parameter is updated in one step. */
export interface ParameterGroup {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** One parameter's update, inside a `tidy`. */
export interface Update extends ParameterGroup {
  readonly tf: Tensorflow;
  readonly kernels: Kernels;
  readonly weight: Tensor;
  readonly gradient: Tensor;
  /** State of this parameter by name; null before its first step. */
  readonly read: (slot: string) => Tensor | null;
  readonly write: (slot: string, tensor: Tensor) => void;
}

/** Gives the new weight. */
export type UpdateRule = (update: Update) => Tensor;

export function updateRule(options: OptimizerOptions): UpdateRule {
  switch (options.optimizer) {
    case 'sgd':
    case 'nesterov':
      return sgdRule(options);
    case 'adam':
    case 'adamw':
      return adamRule(options);
  }
}

/**
 * torch.optim.SGD (dampening 0): v = momentum * v + g + decay * w, w = w - rate * v, and with Nesterov
 * w = w - rate * (g + decay * w + momentum * v). The rate multiplies the whole velocity, unlike in
 * Sutskever et al. 2013.
 */
function sgdRule({ optimizer, momentum }: OptimizerOptions): UpdateRule {
  return ({ tf, kernels, weight, gradient, read, write, learningRate, weightDecay }) => {
    const old = read('velocity');
    const terms = [gradient];
    if (weightDecay !== 0) terms.push(kernels.multiply(weight, tf.scalar(weightDecay)));
    if (optimizer === 'nesterov') {
      const decayed = terms.length === 1 ? gradient : kernels.addAll(terms);
      const velocity =
        old === null
          ? decayed.clone()
          : kernels.add(kernels.multiply(old, tf.scalar(momentum)), decayed);
      write('velocity', velocity);
      const ahead = kernels.add(decayed, kernels.multiply(velocity, tf.scalar(momentum)));
      return kernels.subtract(weight, kernels.multiply(ahead, tf.scalar(learningRate)));
    }
    if (old !== null) terms.push(kernels.multiply(old, tf.scalar(momentum)));
    const velocity = terms.length === 1 ? gradient.clone() : kernels.addAll(terms);
    // At once, not at the end of the tidy: AlexNet's first dense layer has 38 million weights.
    tf.dispose(terms.slice(1));
    write('velocity', velocity);
    const change = kernels.multiply(velocity, tf.scalar(learningRate));
    const next = kernels.subtract(weight, change);
    change.dispose();
    return next;
  };
}

/**
 * torch.optim.Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), without AMSGrad:
 * m = m + (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
 * w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon). Adam adds decay * w to g;
 * AdamW first takes w to (1 - rate * decay) w. t counts the steps of the parameter itself.
 */
function adamRule({ optimizer, beta1, beta2, epsilon }: OptimizerOptions): UpdateRule {
  return ({ tf, kernels, weight, gradient, read, write, learningRate, weightDecay }) => {
    const scaled = (tensor: Tensor, factor: number): Tensor =>
      kernels.multiply(tensor, tf.scalar(factor));
    let w = weight;
    let g = gradient;
    if (weightDecay !== 0) {
      if (optimizer === 'adamw') w = scaled(w, 1 - learningRate * weightDecay);
      else g = kernels.add(g, scaled(w, weightDecay));
    }
    const oldMean = read('mean') ?? tf.zerosLike(g);
    const mean = kernels.add(oldMean, scaled(kernels.subtract(g, oldMean), 1 - beta1));
    const square = scaled(kernels.multiply(g, g), 1 - beta2);
    const oldSquare = read('square');
    const meanSquare = oldSquare === null ? square : kernels.add(scaled(oldSquare, beta2), square);
    const t = (read('steps')?.dataSync<'float32'>()[0] ?? 0) + 1;
    write('mean', mean);
    write('square', meanSquare);
    write('steps', tf.tensor1d([t]));
    const root = scaled(tf.sqrt(meanSquare), 1 / Math.sqrt(1 - beta2 ** t));
    const direction = tf.div(mean, tf.add(root, tf.scalar(epsilon)));
    return kernels.subtract(w, scaled(direction, learningRate / (1 - beta1 ** t)));
  };
}
