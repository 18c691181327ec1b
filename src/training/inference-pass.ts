import type { Tensor } from '@tensorflow/tfjs-node';
import { INPUT_NAME, type ConvolutionLayer, type Layer, type Network } from '../models/network.ts';
import {
  dense,
  flatten,
  globalAveragePool,
  inputNames,
  valueOf,
  type LayerRuntime,
} from './layer-runtime.ts';

/** Sees each convolution's output before its batch norm. */
export type Visit = (layer: ConvolutionLayer, z: Tensor) => void;

/** Logits with running statistics and without dropout; each value is freed after its last use. */
export function infer(runtime: LayerRuntime, x: Tensor, visit?: Visit): Tensor {
  const lastUse = lastUses(runtime.network);
  const values = new Map<string, Tensor>([[INPUT_NAME, x]]);
  let output: Tensor = x;
  runtime.network.layers.forEach((layer, index) => {
    output = inferLayer(runtime, layer, (name) => valueOf(values, name), visit);
    values.set(layer.name, output);
    for (const name of inputNames(layer)) {
      const value = values.get(name);
      if (lastUse.get(name) !== index || name === INPUT_NAME || value === output) continue;
      value?.dispose();
      values.delete(name);
    }
  });
  return output; // a network ends with its dense head
}

/** One layer with running statistics and without dropout, on the outputs that `read` gives. */
export function inferLayer(
  runtime: LayerRuntime,
  layer: Layer,
  read: (name: string) => Tensor,
  visit?: Visit,
): Tensor {
  const { kernels } = runtime;
  const input = (): Tensor => read(layer.input);
  switch (layer.kind) {
    case 'convolution': {
      const normalized = normalizedConvolution(runtime, layer, input(), visit);
      if (layer.activation === 'none') return normalized;
      const y = kernels.activate(normalized, layer.activation);
      normalized.dispose();
      return y;
    }
    case 'dense':
      return dense(runtime, layer, input());
    case 'max-pool':
      return kernels.maxPool(input(), layer);
    case 'global-average-pool':
      return globalAveragePool(runtime, input());
    case 'flatten':
      return flatten(runtime, input(), layer.outputShape.channels);
    case 'dropout':
      return input().clone();
    case 'add':
      return addLayers(runtime, layer, read);
  }
}

/** Before the activation. */
function normalizedConvolution(
  { kernels, parameter }: LayerRuntime,
  layer: ConvolutionLayer,
  x: Tensor,
  visit: Visit | undefined,
): Tensor {
  const { weightName, batchNormName } = layer;
  const weights = parameter(`${weightName}.weight`);
  if (batchNormName === null && visit === undefined) {
    return kernels.convolutionWithBias(x, weights, parameter(`${weightName}.bias`), layer);
  }
  const z = kernels.convolution(x, weights, layer);
  visit?.(layer, z);
  const normalized =
    batchNormName === null
      ? kernels.biasAdd(z, parameter(`${weightName}.bias`))
      : kernels.batchNormInference(
          z,
          parameter(`${batchNormName}.weight`),
          parameter(`${batchNormName}.bias`),
          parameter(`${batchNormName}.running_mean`),
          parameter(`${batchNormName}.running_var`),
        );
  z.dispose();
  return normalized;
}

function addLayers(
  { kernels }: LayerRuntime,
  layer: Layer & { kind: 'add' },
  read: (name: string) => Tensor,
): Tensor {
  const sum = kernels.add(read(layer.input), read(layer.secondInput));
  if (layer.activation === 'none') return sum;
  const y = kernels.activate(sum, layer.activation);
  sum.dispose();
  return y;
}

/** Index of the last layer that reads each value. */
function lastUses(network: Network): Map<string, number> {
  const uses = new Map<string, number>();
  network.layers.forEach((layer, index) => {
    for (const name of inputNames(layer)) uses.set(name, index);
  });
  return uses;
}
