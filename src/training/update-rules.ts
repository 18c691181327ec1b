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
  const isNesterov = optimizer === 'nesterov';
  return (update) => {
    const { tf, kernels, weight, gradient, read, write } = update;
    const old = read('velocity');
    if (weight.size < LARGE || weight.shape.length < 2) {
      const next = sgdStep({ ...update, velocity: old }, momentum, isNesterov);
      write('velocity', next.velocity);
      return next.weight;
    }
    // Part by part and in place: whole, the terms of AlexNet's first dense layer take 450 MB more.
    const velocity = old ?? tf.zerosLike(weight);
    const [rowCount = 1] = weight.shape;
    const partRows = Math.max(1, Math.floor((rowCount * PART) / weight.size));
    for (let first = 0; first < rowCount; first += partRows) {
      const count = Math.min(partRows, rowCount - first);
      tf.tidy(() => {
        const part = (tensor: Tensor): Tensor => tensor.slice([first], [count]);
        const parts = {
          weight: part(weight),
          gradient: part(gradient),
          velocity: part(velocity),
        };
        const next = sgdStep({ ...update, ...parts }, momentum, isNesterov);
        const rows = tf.range(first, first + count, 1, 'int32');
        kernels.overwriteRows(velocity, rows, next.velocity);
        kernels.overwriteRows(weight, rows, next.weight);
      });
    }
    if (old === null) write('velocity', velocity);
    return weight.clone();
  };
}

/** Values from which on a parameter is updated in parts, and values of a part. */
const LARGE = 2 ** 23;
const PART = 2 ** 21;

function sgdStep(
  {
    tf,
    kernels,
    weight,
    gradient,
    velocity: old,
    learningRate,
    weightDecay,
  }: Omit<Update, 'read' | 'write'> & {
    readonly velocity: Tensor | null;
  },
  momentum: number,
  isNesterov: boolean,
): { readonly weight: Tensor; readonly velocity: Tensor } {
  const terms = [gradient];
  if (weightDecay !== 0) terms.push(kernels.multiply(weight, tf.scalar(weightDecay)));
  if (isNesterov) {
    const decayed = terms.length === 1 ? gradient : kernels.addAll(terms);
    const velocity =
      old === null
        ? decayed.clone()
        : kernels.add(kernels.multiply(old, tf.scalar(momentum)), decayed);
    const ahead = kernels.add(decayed, kernels.multiply(velocity, tf.scalar(momentum)));
    const change = kernels.multiply(ahead, tf.scalar(learningRate));
    return { weight: kernels.subtract(weight, change), velocity };
  }
  if (old !== null) terms.push(kernels.multiply(old, tf.scalar(momentum)));
  const velocity = terms.length === 1 ? gradient.clone() : kernels.addAll(terms);
  tf.dispose(terms.slice(1)); // at once, not at the end of the tidy
  const change = kernels.multiply(velocity, tf.scalar(learningRate));
  const next = kernels.subtract(weight, change);
  change.dispose();
  return { weight: next, velocity };
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
