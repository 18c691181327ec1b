import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../../src/runtime/tensorflow.ts';

/** What an optimizer or an average needs of a network: one parameter, `w`. */
export interface UpdatedParameters {
  readonly parameters: Map<string, Tensor>;
  replace(name: string, tensor: Tensor): void;
  take(name: string): Tensor;
}

export function parametersOf(tf: Tensorflow, values: ArrayLike<number>): UpdatedParameters {
  const parameters = new Map<string, Tensor>();
  const replace = (name: string, tensor: Tensor): void => {
    parameters.get(name)?.dispose();
    parameters.set(name, tf.keep(tensor));
  };
  replace('w', tf.tensor1d([...Array.from(values)]));
  const take = (name: string): Tensor => {
    const tensor = parameters.get(name)!; // of those given
    parameters.delete(name);
    return tensor;
  };
  return { parameters, replace, take };
}
