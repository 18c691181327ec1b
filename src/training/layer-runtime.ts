import type { Tensor } from '@tensorflow/tfjs-node';
import { InternalError } from '../diagnostics/errors.ts';
import type { DenseLayer, Layer, Network } from '../models/network.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { Kernels } from './kernels.ts';

/** What both passes need to run layers. */
export interface LayerRuntime {
  readonly tf: Tensorflow;
  readonly kernels: Kernels;
  readonly network: Network;
  readonly parameter: (name: string) => Tensor;
  readonly replace: (name: string, tensor: Tensor) => void;
}

export function dense({ kernels, parameter }: LayerRuntime, layer: DenseLayer, x: Tensor): Tensor {
  const product = kernels.matMul(x, parameter(`${layer.weightName}.weight`), false, false);
  const sum = kernels.biasAdd(product, parameter(`${layer.weightName}.bias`));
  product.dispose();
  if (layer.activation === 'none') return sum;
  const y = kernels.activate(sum, layer.activation);
  sum.dispose();
  return y;
}

/** [N, H, W, C] → float32 [N, C] */
export function globalAveragePool({ tf, kernels }: LayerRuntime, x: Tensor): Tensor {
  return tf.tidy(() => tf.mean(kernels.toFloat32(x), [1, 2]));
}

/** [N, H, W, C] → float32 [N, H · W · C] */
export function flatten({ tf, kernels }: LayerRuntime, x: Tensor, width: number): Tensor {
  return tf.tidy(() => kernels.toFloat32(x).reshape([-1, width]));
}

export function valueOf(values: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const value = values.get(name);
  if (value === undefined)
    throw new InternalError(`the value of layer ${name} was freed too early`);
  return value;
}

/** Names of the layers whose outputs a layer takes, in order. */
export function inputNames(layer: Layer): string[] {
  return layer.kind === 'add' ? [layer.input, layer.secondInput] : [layer.input];
}
