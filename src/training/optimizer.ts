import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels, type Kernels } from './kernels.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Gradients } from './training-pass.ts';

export interface OptimizerOptions {
  readonly momentum: number;
}

/** What PyTorch calls a parameter group: how one parameter is updated in one step. */
export interface ParameterGroup {
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface Optimizer {
  /** One update; disposes the gradients. Parameters without a gradient are left alone. */
  step(gradients: Gradients, groupOf: (name: string) => ParameterGroup): void;
  /** A copy of all that the next step depends on besides weights and gradients. */
  readState(): Map<string, Float32Array>;
  writeState(state: ReadonlyMap<string, Float32Array>): void;
  dispose(): void;
}

/** One parameter's update, inside a `tidy`. */
interface Update extends ParameterGroup {
  readonly kernels: Kernels;
  readonly weight: Tensor;
  readonly gradient: Tensor;
  readonly scalar: (value: number) => Tensor;
  /** State of this parameter by name; null before the first step. */
  readonly read: (slot: string) => Tensor | null;
  readonly write: (slot: string, tensor: Tensor) => void;
}

/** Gives the new weight. */
type UpdateRule = (update: Update) => Tensor;

export function createOptimizer(
  tf: Tensorflow,
  runner: Pick<NetworkRunner, 'parameters' | 'replace'>,
  options: OptimizerOptions,
): Optimizer {
  const kernels = createKernels(tf);
  const rule = sgdRule(options);
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
      ...{ kernels, weight, gradient },
      scalar: (value) => tf.scalar(value),
      read: (slot) => slots.get(`${slot}/${name}`) ?? null,
      write: (slot, tensor) => {
        slots.get(`${slot}/${name}`)?.dispose();
        slots.set(`${slot}/${name}`, tf.keep(tensor));
      },
    });
  return {
    step(gradients, groupOf) {
      for (const [name, gradient] of gradients) {
        const weight = runner.parameters.get(name);
        if (weight === undefined) continue; // a gradient without a parameter cannot come about
        tf.tidy(() => {
          runner.replace(name, update(name, { weight, gradient }, groupOf(name)));
        });
        gradient.dispose();
      }
    },
    readState: () => {
      // Copies, like `readWeights`; all state is float32.
      return new Map([...slots].map(([name, tensor]) => [name, tensor.dataSync<'float32'>()]));
    },
    writeState(state) {
      dispose();
      for (const [key, data] of state) {
        const name = key.slice(key.indexOf('/') + 1);
        const weight = runner.parameters.get(name);
        const shape = weight?.size === data.length ? weight.shape : [data.length];
        slots.set(key, tf.keep(tf.tensor(data, shape, 'float32')));
      }
    },
    dispose,
  };
}

/**
 * torch.optim.SGD (dampening 0): v = momentum * v + g + decay * w, w = w - rate * v. The rate multiplies
 * the whole velocity, unlike in Sutskever et al. 2013.
 */
function sgdRule({ momentum }: OptimizerOptions): UpdateRule {
  return ({ kernels, weight, gradient, scalar, read, write, learningRate, weightDecay }) => {
    const old = read('velocity');
    const terms = [gradient];
    if (weightDecay !== 0) terms.push(kernels.multiply(weight, scalar(weightDecay)));
    if (old !== null) terms.push(kernels.multiply(old, scalar(momentum)));
    const velocity = terms.length === 1 ? gradient.clone() : kernels.addAll(terms);
    write('velocity', velocity);
    return kernels.subtract(weight, kernels.multiply(velocity, scalar(learningRate)));
  };
}
