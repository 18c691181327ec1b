import type { Tensor } from '@tensorflow/tfjs-node';
import { InternalError } from '../diagnostics/errors.ts';
import { parameterSpecs, type ConvolutionLayer, type Network } from '../models/network.ts';
import { weightOf, type WeightLookup } from '../models/weights.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { infer } from './inference-pass.ts';
import { createKernels, type KernelOptions } from './kernels.ts';
import type { LayerRuntime } from './layer-runtime.ts';
import { trainingPass, type PassOptions, type TrainingPass } from './training-pass.ts';

/** A network with its weights as tensors. Not for concurrent use. */
export interface NetworkRunner {
  readonly network: Network;
  /** Current tensors by parameter name; `replace` swaps one and disposes the old. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  replace(name: string, tensor: Tensor): void;
  /** A parameter's tensor, which the caller owns now and has to `replace` by another. */
  take(name: string): Tensor;
  /** Logits [N, classes] with running statistics and without dropout; x: [N, H, W, 3]. */
  predict(x: Tensor): Tensor;
  /** Forward and backward; moves the batch norms' running statistics. targets: [N, classes]. */
  trainingPass(x: Tensor, targets: Tensor, options: PassOptions): TrainingPass;
  /** Output of one convolution before its batch norm, as `predict` computes it; for calibration. */
  convolutionOutputs(x: Tensor, visit: (layer: ConvolutionLayer, z: Tensor) => void): void;
  /** A copy of all weights. */
  readWeights(): Map<string, Float32Array>;
  writeWeights(weights: WeightLookup): void;
  dispose(): void;
}

/**
 * Runs a network layer by layer through fused kernels; only `trainingPass` in another precision than
 * float32. The backward pass is written out instead of
 * recorded on a tape: each layer keeps only what its gradient reads and frees it as soon as it did,
 * which halves the memory of tf.grads here.
 */
export function createNetworkRunner(
  tf: Tensorflow,
  network: Network,
  weights: WeightLookup,
  options: KernelOptions = {},
): NetworkRunner {
  const kernels = createKernels(tf, options);
  const parameters = new Map<string, Tensor>();
  const parameter = (name: string): Tensor => {
    const tensor = parameters.get(name);
    if (tensor === undefined) throw new InternalError(`no parameter ${name}`);
    return tensor; // its rank follows from the layer that asks
  };
  const replace = (name: string, tensor: Tensor): void => {
    parameters.get(name)?.dispose();
    parameters.set(name, tf.keep(tensor));
  };
  const writeWeights = (values: WeightLookup): void => {
    for (const spec of parameterSpecs(network)) {
      replace(spec.name, tf.tensor(weightOf(values, spec.name), [...spec.shape], 'float32'));
    }
  };
  writeWeights(weights);
  const runtime: LayerRuntime = { tf, kernels, network, parameter, replace };
  const exact: LayerRuntime = {
    ...runtime,
    kernels: createKernels(tf, { ...options, precision: 'float32' }),
  };

  return {
    network,
    parameters,
    replace,
    take(name) {
      const tensor = parameter(name);
      parameters.set(name, tf.keep(tf.scalar(NaN))); // keeps the place in the order
      return tensor;
    },
    predict: (x) => tf.tidy(() => infer(exact, x)),
    trainingPass: (x, targets, options) => trainingPass(runtime, x, targets, options),
    convolutionOutputs: (x, visit) => {
      tf.tidy(() => {
        infer(exact, x, visit);
      });
    },
    readWeights: () => copyOf(parameters),
    writeWeights,
    dispose() {
      for (const tensor of parameters.values()) tensor.dispose();
      parameters.clear();
    },
  };
}

/** Copies of float32 tensors, one at a time as they are asked for. */
export function lookupOf(tensors: ReadonlyMap<string, Tensor>): WeightLookup {
  // `dataSync` of this backend copies out of TensorFlow's memory.
  return { get: (name) => tensors.get(name)?.dataSync<'float32'>() };
}

/** Copies of float32 tensors, all at once. */
export function copyOf(tensors: ReadonlyMap<string, Tensor>): Map<string, Float32Array> {
  return new Map([...tensors].map(([name, tensor]) => [name, tensor.dataSync<'float32'>()]));
}
