import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels } from './kernels.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Gradients } from './training-pass.ts';
import { updateRule, type OptimizerOptions, type ParameterGroup } from './update-rules.ts';

export interface Optimizer {
  /** One update; disposes the gradients. Parameters without a gradient are left alone. */
  step(gradients: Gradients, groupOf: (name: string) => ParameterGroup): void;
  /** A copy of all that the next step depends on besides weights and gradients. */
  readState(): Map<string, Float32Array>;
  writeState(state: ReadonlyMap<string, Float32Array>): void;
  dispose(): void;
}

export function createOptimizer(
  tf: Tensorflow,
  runner: Pick<NetworkRunner, 'parameters' | 'replace'>,
  options: OptimizerOptions,
): Optimizer {
  const kernels = createKernels(tf);
  const rule = updateRule(options);
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
