import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { nativeOperations, type OperationObserver } from './native-operations.ts';
import { createVariable, valuesOf, type NativeVariable } from './native-variables.ts';
import { createStepScalars } from './step-scalars.ts';
import {
  stateKey,
  stateShape,
  type Optimizer,
  type OptimizerOptions,
  type ParameterGroup,
  type UpdatedNetwork,
} from './optimizer-types.ts';

/** The only state, by parameter. */
const VELOCITY = 'velocity';

/**
 * torch.optim.SGD (dampening 0): v = momentum * v + g + decay * w, w = w - rate * v, and with Nesterov
 * w = w - rate * (g + decay * w + momentum * v). The rate multiplies the whole velocity, unlike in
 * Sutskever et al. 2013. All in place, in three passes over the parameter: written as products and sums
 * of tensors it takes six and twice the time, and on AlexNet's dense layers 450 MB more.
 */
export function createMomentumOptimizer(
  tf: Tensorflow,
  network: UpdatedNetwork,
  { optimizer, momentum }: OptimizerOptions,
  observe?: OperationObserver,
): Optimizer {
  const native = nativeOperations(tf, observe);
  const isNesterov = optimizer === 'nesterov';
  // What is being updated: one after the other takes its place in these two.
  const weights = createVariable(tf, native);
  const decayed = createVariable(tf, native);
  const velocities = new Map<string, NativeVariable>();

  const scalars = createStepScalars(tf);
  const velocityOf = (name: string, weight: Tensor): NativeVariable => {
    const known = velocities.get(name);
    if (known !== undefined) return known;
    const zeros = tf.zerosLike(weight);
    const velocity = remember(name, zeros);
    zeros.dispose();
    return velocity;
  };
  const remember = (name: string, value: Tensor): NativeVariable => {
    const velocity = createVariable(tf, native);
    velocity.assign(value);
    velocities.set(name, velocity);
    return velocity;
  };
  const withDecay = (gradient: Tensor, weight: Tensor, weightDecay: number): Tensor => {
    if (weightDecay === 0) return gradient;
    decayed.assign(gradient);
    gradient.dispose();
    decayed.subtractScaled(scalars.of(-weightDecay), weight);
    return decayed.read();
  };
  const update = (
    name: string,
    gradient: Tensor,
    { learningRate, weightDecay }: ParameterGroup,
  ): void => {
    const weight = network.take(name);
    const velocity = velocityOf(name, weight);
    const g = withDecay(gradient, weight, weightDecay);
    weights.assign(weight);
    weight.dispose();
    weights.momentumStep({
      ...{ velocity, gradient: g, isNesterov },
      rate: scalars.of(learningRate),
      momentum: scalars.of(momentum),
    });
    network.replace(name, weights.read());
    g.dispose();
  };
  const forget = (): void => {
    for (const velocity of velocities.values()) velocity.dispose();
    velocities.clear();
  };

  return {
    step(gradients, groupOf) {
      for (const [name, gradient] of gradients) {
        if (network.parameters.has(name)) update(name, gradient, groupOf(name));
        else gradient.dispose(); // a gradient without a parameter cannot come about
      }
      decayed.assign(scalars.of(0)); // else it holds the last gradient's memory until the next step
      scalars.dispose();
    },
    readState() {
      return new Map(
        [...velocities].map(([name, velocity]) => [
          stateKey(VELOCITY, name),
          {
            length: network.parameters.get(name)?.size ?? 0, // a velocity has a parameter
            read: () => valuesOf(velocity),
          },
        ]),
      );
    },
    writeState(state) {
      forget();
      for (const [key, { length, read }] of state) {
        const { parameter, shape } = stateShape(key, length, network);
        const tensor = tf.tensor(read(), shape, 'float32');
        remember(parameter, tensor);
        tensor.dispose();
      }
    },
    dispose() {
      forget();
      weights.dispose();
      decayed.dispose();
    },
  };
}
