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

type SeparateStep = Pick<
  Parameters<NativeVariable['adamStep']>[0],
  'mean' | 'square' | 'gradient' | 'rate' | 'epsilon'
>;

/** What is kept of one parameter. */
interface Moments {
  readonly mean: NativeVariable;
  readonly square: NativeVariable;
  /** Updates so far. */
  steps: number;
}

const STEPS = 'steps';

/**
 * The kernel computes v + (g^2 - v) (1 - beta2). Where v is far larger than g^2 its three roundings leave up
 * to 2.5 * 2^-24 v, which is 2.5 * 2^-24 / beta2 of the true sum, as that holds beta2 v; its root, by which a
 * step is divided, has half of it. From 0.1 on that is below 1e-6; with 0, nothing of v may be left and all
 * is rounding. Likewise m + (g - m) (1 - beta1) with its 2^-24 m, which the root of beta2 v bounds.
 */
const SMALLEST_KERNEL_BETA2 = 0.1;

/**
 * torch.optim.Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), without AMSGrad:
 * m = m + (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
 * w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon). Adam adds decay * w to g;
 * AdamW first takes w to (1 - rate * decay) w. t counts the steps of the parameter itself. All in place:
 * written as products and sums of tensors, AlexNet's largest layer takes 0.8 GB more while it is updated.
 */
export function createAdamOptimizer(
  tf: Tensorflow,
  network: UpdatedNetwork,
  { optimizer, epsilon, ...options }: OptimizerOptions,
  observe?: OperationObserver,
): Optimizer {
  const native = nativeOperations(tf, observe);
  // The kernel takes them as float32, so the correction of the bias goes by these values too.
  const beta1 = Math.fround(options.beta1);
  const beta2 = Math.fround(options.beta2);
  // What is being updated: one after the other takes its place in these two.
  const weights = createVariable(tf, native);
  const decayed = createVariable(tf, native);
  const moments = new Map<string, Moments>();
  const scalars = createStepScalars(tf);

  const momentsOf = (name: string, weight: Tensor): Moments => {
    const known = moments.get(name);
    if (known !== undefined) return known;
    const made = { mean: zerosLike(weight), square: zerosLike(weight), steps: 0 };
    moments.set(name, made);
    return made;
  };
  const zerosLike = (weight: Tensor): NativeVariable => {
    const zeros = tf.zerosLike(weight);
    const variable = createVariable(tf, native);
    variable.assign(zeros);
    zeros.dispose();
    return variable;
  };
  const withDecay = (gradient: Tensor, weight: Tensor, weightDecay: number): Tensor => {
    if (weightDecay === 0 || optimizer === 'adamw') return gradient;
    decayed.assign(gradient);
    gradient.dispose();
    decayed.subtractScaled(scalars.of(-weightDecay), weight);
    return decayed.read();
  };
  /** The same as the kernel's by the formula as it stands, in sums whose parts never cancel in v. */
  const separateStep = ({ mean, square, gradient, rate, epsilon }: SeparateStep): void => {
    tf.tidy(() => {
      const average = (of: NativeVariable, value: Tensor, beta: number): Tensor => {
        const next = tf.add(tf.mul(of.read(), beta), tf.mul(value, 1 - beta));
        of.assign(next);
        return next;
      };
      const m = average(mean, gradient, beta1);
      const v = average(square, tf.square(gradient), beta2);
      weights.subtractScaled(rate, tf.div(m, tf.add(tf.sqrt(v), epsilon)));
    });
  };
  const shrunk = (weight: Tensor, share: number): Tensor =>
    share === 0 || optimizer === 'adam' ? weight : tf.mul(weight, scalars.of(1 - share));
  const update = (
    name: string,
    gradient: Tensor,
    { learningRate, weightDecay }: ParameterGroup,
  ): void => {
    const weight = network.take(name);
    const state = momentsOf(name, weight);
    state.steps += 1;
    const g = withDecay(gradient, weight, weightDecay);
    const w = shrunk(weight, learningRate * weightDecay);
    weights.assign(w);
    tf.dispose([weight, w]);
    const squareCorrection = Math.sqrt(1 - beta2 ** state.steps);
    const step = {
      ...{ mean: state.mean, square: state.square, gradient: g },
      rate: scalars.of((learningRate * squareCorrection) / (1 - beta1 ** state.steps)),
      epsilon: scalars.of(epsilon * squareCorrection),
    };
    if (beta2 < SMALLEST_KERNEL_BETA2) separateStep(step);
    else {
      const betas = { beta1: scalars.of(beta1), beta2: scalars.of(beta2) };
      weights.adamStep({ ...step, ...betas, zero: scalars.of(0) });
    }
    network.replace(name, weights.read());
    g.dispose();
  };
  const forget = (): void => {
    for (const { mean, square } of moments.values()) {
      mean.dispose();
      square.dispose();
    }
    moments.clear();
  };

  return {
    step(gradients, groupOf) {
      for (const [name, gradient] of gradients) {
        if (network.parameters.has(name)) update(name, gradient, groupOf(name));
        else gradient.dispose(); // a gradient without a parameter cannot come about
      }
      // Else they hold the last gradient's and weight's memory until the next step.
      decayed.assign(scalars.of(0));
      weights.assign(scalars.of(0));
      scalars.dispose();
    },
    readState() {
      return new Map(
        [...moments].flatMap(([name, { mean, square, steps }]) => {
          const length = network.parameters.get(name)?.size ?? 0; // moments have a parameter
          return [
            [stateKey('mean', name), { length, read: () => valuesOf(mean) }],
            [stateKey('square', name), { length, read: () => valuesOf(square) }],
            [stateKey(STEPS, name), { length: 1, read: () => Float32Array.of(steps) }],
          ];
        }),
      );
    },
    writeState(state) {
      forget();
      for (const [key, { length, read }] of state) {
        const [slot = ''] = key.split('/', 1);
        const { parameter, shape } = stateShape(key, length, network);
        const weight = network.parameters.get(parameter);
        if (weight === undefined) continue; // of another network, which was told before
        const known = momentsOf(parameter, weight);
        if (slot === STEPS) {
          known.steps = read()[0] ?? 0;
          continue;
        }
        const tensor = tf.tensor(read(), shape, 'float32');
        (slot === 'mean' ? known.mean : known.square).assign(tensor);
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
