import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels, type Kernels } from './kernels.ts';
import type { OperationObserver } from './native-operations.ts';
import {
  stateKey,
  stateShape,
  type Optimizer,
  type OptimizerOptions,
  type ParameterGroup,
  type UpdatedNetwork,
} from './optimizer-types.ts';

/** One parameter's update, inside a `tidy`. */
interface Update extends ParameterGroup {
  readonly tf: Tensorflow;
  readonly kernels: Kernels;
  readonly weight: Tensor;
  readonly gradient: Tensor;
  /** State of this parameter by name; null before its first step. */
  readonly read: (slot: string) => Tensor | null;
  readonly write: (slot: string, tensor: Tensor) => void;
}

export function createAdamOptimizer(
  tf: Tensorflow,
  network: UpdatedNetwork,
  options: OptimizerOptions,
  observe?: OperationObserver,
): Optimizer {
  const kernels = createKernels(tf, observe === undefined ? {} : { observe });
  const rule = adamRule(options);
  const slots = new Map<string, Tensor>();
  const dispose = (): void => {
    tf.dispose([...slots.values()]);
    slots.clear();
  };
  const update = (
    name: string,
    { weight, gradient }: { weight: Tensor; gradient: Tensor },
    group: ParameterGroup,
  ): Tensor =>
    rule({
      ...group,
      ...{ tf, kernels, weight, gradient },
      read: (slot) => slots.get(stateKey(slot, name)) ?? null,
      write: (slot, tensor) => {
        slots.get(stateKey(slot, name))?.dispose();
        slots.set(stateKey(slot, name), tf.keep(tensor));
      },
    });
  return {
    step(gradients, groupOf) {
      for (const [name, gradient] of gradients) {
        const weight = network.parameters.get(name);
        if (weight === undefined) continue; // a gradient without a parameter cannot come about
        tf.tidy(() => {
          network.replace(name, update(name, { weight, gradient }, groupOf(name)));
        });
        gradient.dispose();
      }
    },
    readState: () => {
      // Copies, like `readWeights`; all state is float32.
      return new Map([...slots].map(([key, tensor]) => [key, tensor.dataSync<'float32'>()]));
    },
    writeState(state) {
      dispose();
      for (const [key, data] of state) {
        const { shape } = stateShape(key, data.length, network);
        slots.set(key, tf.keep(tf.tensor(data, shape, 'float32')));
      }
    },
    dispose,
  };
}

/**
 * torch.optim.Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), without AMSGrad:
 * m = m + (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
 * w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon). Adam adds decay * w to g;
 * AdamW first takes w to (1 - rate * decay) w. t counts the steps of the parameter itself.
 */
function adamRule({
  optimizer,
  beta1,
  beta2,
  epsilon,
}: OptimizerOptions): (update: Update) => Tensor {
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
