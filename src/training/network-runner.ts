import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs-node';
import { InternalError } from '../diagnostics/errors.ts';
import {
  INPUT_NAME,
  parameterSpecs,
  type ConvolutionLayer,
  type DenseLayer,
  type Layer,
  type Network,
} from '../models/network.ts';
import { weightOf, type Weights } from '../models/weights.ts';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createKernels, type Kernels } from './kernels.ts';

/** Gradients by parameter name, owned by the caller. */
export type Gradients = ReadonlyMap<string, Tensor>;

export interface TrainingPass {
  /** Mean loss of the batch. */
  readonly loss: number;
  readonly correctCount: number;
  readonly gradients: Gradients;
}

/** A network with its weights as tensors. Not for concurrent use. */
export interface NetworkRunner {
  readonly network: Network;
  /** Current tensors by parameter name; `replace` swaps one and disposes the old. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  replace(name: string, tensor: Tensor): void;
  /** Logits [N, classes] with running statistics and without dropout; x: [N, H, W, 3]. */
  predict(x: Tensor4D): Tensor2D;
  /** Forward and backward; moves the batch norms' running statistics. targets: [N, classes]. */
  trainingPass(x: Tensor4D, targets: Tensor2D, dropoutSeed: number): TrainingPass;
  /** Output of one convolution before its batch norm, as `predict` computes it; for calibration. */
  convolutionOutputs(x: Tensor4D, visit: (layer: ConvolutionLayer, z: Tensor4D) => void): void;
  /** A copy of all weights. */
  readWeights(): Map<string, Float32Array>;
  writeWeights(weights: Weights): void;
  dispose(): void;
}

/**
 * Runs a network layer by layer through fused kernels. The backward pass is written out instead of
 * recorded on a tape: each layer keeps only what its gradient reads and frees it as soon as it did,
 * which halves the memory of tf.grads here.
 */
export function createNetworkRunner(
  tf: Tensorflow,
  network: Network,
  weights: Weights,
): NetworkRunner {
  const kernels = createKernels(tf);
  const parameters = new Map<string, Tensor>();
  const parameter = <T extends Tensor>(name: string): T => {
    const tensor = parameters.get(name);
    if (tensor === undefined) throw new InternalError(`no parameter ${name}`);
    return tensor as T; // its rank follows from the layer that asks
  };
  const replace = (name: string, tensor: Tensor): void => {
    parameters.get(name)?.dispose();
    parameters.set(name, tf.keep(tensor));
  };
  const writeWeights = (values: Weights): void => {
    for (const spec of parameterSpecs(network)) {
      replace(spec.name, tf.tensor(weightOf(values, spec.name), [...spec.shape], 'float32'));
    }
  };
  writeWeights(weights);
  const runtime: Runtime = { tf, kernels, network, parameter, replace };

  return {
    network,
    parameters,
    replace,
    predict: (x) => tf.tidy(() => infer(runtime, x)),
    trainingPass: (x, targets, dropoutSeed) => trainingPass(runtime, x, targets, dropoutSeed),
    convolutionOutputs: (x, visit) => {
      tf.tidy(() => {
        infer(runtime, x, visit);
      });
    },
    readWeights() {
      const copy = new Map<string, Float32Array>();
      // `dataSync` of this backend copies out of TensorFlow's memory, and all parameters are float32.
      for (const [name, tensor] of parameters) copy.set(name, tensor.dataSync<'float32'>());
      return copy;
    },
    writeWeights,
    dispose() {
      for (const tensor of parameters.values()) tensor.dispose();
      parameters.clear();
    },
  };
}

interface Runtime {
  readonly tf: Tensorflow;
  readonly kernels: Kernels;
  readonly network: Network;
  parameter<T extends Tensor>(name: string): T;
  replace(name: string, tensor: Tensor): void;
}

type Visit = (layer: ConvolutionLayer, z: Tensor4D) => void;

function infer(runtime: Runtime, x: Tensor4D, visit?: Visit): Tensor2D {
  const lastUse = lastUses(runtime.network);
  const values = new Map<string, Tensor>([[INPUT_NAME, x]]);
  let output: Tensor = x;
  runtime.network.layers.forEach((layer, index) => {
    output = inferLayer(runtime, layer, values, visit);
    values.set(layer.name, output);
    for (const name of inputNames(layer)) {
      const value = values.get(name);
      if (lastUse.get(name) !== index || name === INPUT_NAME || value === output) continue;
      value?.dispose();
      values.delete(name);
    }
  });
  return output as Tensor2D; // a network ends with its dense head
}

function inferLayer(
  runtime: Runtime,
  layer: Layer,
  values: ReadonlyMap<string, Tensor>,
  visit: Visit | undefined,
): Tensor {
  const { kernels, parameter, tf } = runtime;
  const input = <T extends Tensor>(): T => valueOf(values, layer.input) as T;
  switch (layer.kind) {
    case 'convolution': {
      const z = kernels.convolution(input(), parameter(`${layer.weightName}.weight`), layer);
      visit?.(layer, z);
      const { batchNormName } = layer;
      const normalized =
        batchNormName === null
          ? kernels.biasAdd(z, parameter(`${layer.weightName}.bias`))
          : kernels.batchNormInference(
              z,
              parameter(`${batchNormName}.weight`),
              parameter(`${batchNormName}.bias`),
              parameter(`${batchNormName}.running_mean`),
              parameter(`${batchNormName}.running_var`),
            );
      z.dispose();
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
      return tf.mean(input<Tensor4D>(), [1, 2]);
    case 'flatten':
      return input().reshape([-1, layer.outputShape.channels]);
    case 'dropout':
      return input().clone();
    case 'add':
      return addLayers(runtime, layer, values);
  }
}

function dense({ kernels, parameter }: Runtime, layer: DenseLayer, x: Tensor2D): Tensor2D {
  const product = kernels.matMul(x, parameter(`${layer.weightName}.weight`), false, false);
  const sum = kernels.biasAdd(product, parameter(`${layer.weightName}.bias`));
  product.dispose();
  if (layer.activation === 'none') return sum;
  const y = kernels.activate(sum, layer.activation);
  sum.dispose();
  return y;
}

function addLayers(
  { kernels }: Runtime,
  layer: Layer & { kind: 'add' },
  values: ReadonlyMap<string, Tensor>,
): Tensor {
  const sum = kernels.add(valueOf(values, layer.input), valueOf(values, layer.secondInput));
  if (layer.activation === 'none') return sum;
  const y = kernels.activate(sum, layer.activation);
  sum.dispose();
  return y;
}

/** What one layer's gradient reads; tensors in it are freed by the backward pass. */
interface Tape {
  readonly layer: Layer;
  /** A step back: takes the gradient by the output, gives those by the inputs, in their order. */
  back(dy: Tensor): (Tensor | null)[];
}

function trainingPass(
  runtime: Runtime,
  x: Tensor4D,
  targets: Tensor2D,
  dropoutSeed: number,
): TrainingPass {
  const { tf, kernels, network } = runtime;
  const gradients = new Map<string, Tensor>();
  const collect = (name: string, tensor: Tensor): void => {
    gradients.set(name, tf.keep(tensor));
  };
  let loss = NaN;
  let correctCount = 0;
  tf.tidy(() => {
    const uses = createUseCounter(network, x);
    const tapes: Tape[] = [];
    for (const [index, layer] of network.layers.entries()) {
      const seed: [number, number] = [dropoutSeed, index];
      tapes.push(forwardLayer(runtime, layer, uses, seed, collect));
      for (const name of inputNames(layer)) uses.release(name);
    }
    const logits = uses.value(network.layers.at(-1)!.name) as Tensor2D; // the dense head
    const [losses, dlogits] = kernels.softmaxCrossEntropy(logits, targets);
    loss = losses.mean().dataSync()[0] ?? NaN;
    correctCount = logits.argMax(1).equal(targets.argMax(1)).sum().dataSync()[0] ?? 0;
    const dloss = kernels.multiply(dlogits, tf.scalar(1 / x.shape[0]));
    dlogits.dispose();
    backward(runtime, tapes, dloss);
  });
  return { loss, correctCount, gradients };
}

/** Values of a training pass; each is freed when the last tape that holds it has let go. */
interface UseCounter {
  value(name: string): Tensor;
  set(name: string, tensor: Tensor): void;
  /** One holder fewer. */
  release(name: string): void;
}

/**
 * Counts who still needs each layer's output: every layer that takes it in the forward pass, and those
 * whose gradient reads it in the backward pass. The image is the caller's and never freed.
 */
function createUseCounter(network: Network, x: Tensor4D): UseCounter {
  const values = new Map<string, Tensor>([[INPUT_NAME, x]]);
  const holders = new Map<string, number>([[INPUT_NAME, Infinity]]);
  for (const layer of network.layers) {
    holders.set(layer.name, gradientReadsOutput(layer) ? 1 : 0);
    for (const name of inputNames(layer)) {
      holders.set(name, (holders.get(name) ?? 0) + (gradientReadsInput(layer) ? 2 : 1));
    }
  }
  return {
    value: (name) => valueOf(values, name),
    set: (name, tensor) => {
      values.set(name, tensor);
    },
    release(name) {
      const left = (holders.get(name) ?? 0) - 1;
      holders.set(name, left);
      if (left > 0) return;
      values.get(name)?.dispose();
      values.delete(name);
    },
  };
}

function gradientReadsInput(layer: Layer): boolean {
  return layer.kind === 'convolution' || layer.kind === 'dense' || layer.kind === 'max-pool';
}

function gradientReadsOutput(layer: Layer): boolean {
  return layer.kind === 'max-pool' || ('activation' in layer && layer.activation !== 'none');
}

function forwardLayer(
  runtime: Runtime,
  layer: Layer,
  uses: UseCounter,
  seed: readonly [number, number],
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  switch (layer.kind) {
    case 'convolution':
      return forwardConvolution(runtime, layer, uses, collect);
    case 'dense':
      return forwardDense(runtime, layer, uses, collect);
    case 'dropout':
      return forwardDropout(runtime, layer, uses, seed);
    default:
      return forwardPlain(runtime, layer, uses);
  }
}

function forwardConvolution(
  { kernels, parameter, replace }: Runtime,
  layer: ConvolutionLayer,
  uses: UseCounter,
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  const x = uses.value(layer.input) as Tensor4D;
  const weightName = `${layer.weightName}.weight`;
  const { batchNormName, activation } = layer;
  let z: Tensor4D | null = kernels.convolution(x, parameter(weightName), layer);
  let normalized: Tensor4D;
  let reserved: [Tensor, Tensor, Tensor] | null = null;
  if (batchNormName === null) {
    normalized = kernels.biasAdd(z, parameter(`${layer.weightName}.bias`));
    z.dispose();
    z = null;
  } else {
    const result = kernels.batchNormTraining(
      z,
      parameter(`${batchNormName}.weight`),
      parameter(`${batchNormName}.bias`),
      parameter(`${batchNormName}.running_mean`),
      parameter(`${batchNormName}.running_var`),
    );
    normalized = result.y;
    reserved = [...result.reserved];
    replace(`${batchNormName}.running_mean`, result.mean);
    replace(`${batchNormName}.running_var`, result.variance);
  }
  let y = normalized;
  if (activation !== 'none') {
    y = kernels.activate(normalized, activation);
    normalized.dispose();
  }
  uses.set(layer.name, y);
  return {
    layer,
    back(dy) {
      let d = dy as Tensor4D;
      if (activation !== 'none') {
        const y = uses.value(layer.name) as Tensor4D;
        d = kernels.activationGradient(d, y, activation);
        dy.dispose();
        uses.release(layer.name);
      }
      if (z !== null && reserved !== null && batchNormName !== null) {
        const gamma = parameter<Tensor1D>(`${batchNormName}.weight`);
        const [dz, dgamma, dbeta] = kernels.batchNormGradient(d, z, gamma, reserved);
        collect(`${batchNormName}.weight`, dgamma);
        collect(`${batchNormName}.bias`, dbeta);
        d.dispose();
        z.dispose();
        for (const tensor of reserved) tensor.dispose();
        d = dz;
      } else {
        collect(`${layer.weightName}.bias`, kernels.biasGradient(d));
      }
      const weight = parameter<Tensor4D>(weightName);
      const xValue = uses.value(layer.input) as Tensor4D;
      collect(weightName, kernels.convolutionWeightGradient(d, xValue, layer, weight.shape));
      // Nobody wants the gradient by the image.
      const dx =
        layer.input === INPUT_NAME
          ? null
          : kernels.convolutionInputGradient(d, weight, layer, xValue.shape);
      d.dispose();
      uses.release(layer.input);
      return [dx];
    },
  };
}

function forwardDense(
  runtime: Runtime,
  layer: DenseLayer,
  uses: UseCounter,
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  const { kernels, parameter } = runtime;
  uses.set(layer.name, dense(runtime, layer, uses.value(layer.input) as Tensor2D));
  return {
    layer,
    back(dy) {
      let d = dy as Tensor2D;
      if (layer.activation !== 'none') {
        d = kernels.activationGradient(d, uses.value(layer.name) as Tensor2D, layer.activation);
        dy.dispose();
        uses.release(layer.name);
      }
      const x = uses.value(layer.input) as Tensor2D;
      collect(`${layer.weightName}.bias`, kernels.biasGradient(d));
      collect(`${layer.weightName}.weight`, kernels.matMul(x, d, true, false));
      const dx = kernels.matMul(d, parameter(`${layer.weightName}.weight`), false, true);
      d.dispose();
      uses.release(layer.input);
      return [dx];
    },
  };
}

/** Inverted dropout: kept values are scaled by 1 / (1 - rate), as PyTorch's. */
function forwardDropout(
  { tf, kernels }: Runtime,
  layer: Layer & { kind: 'dropout' },
  uses: UseCounter,
  seed: readonly [number, number],
): Tape {
  const x = uses.value(layer.input);
  const mask = tf.tidy(() =>
    kernels
      .randomUniform(x.shape, seed)
      .greaterEqual(layer.rate)
      .cast('float32')
      .mul(1 / (1 - layer.rate)),
  );
  uses.set(layer.name, kernels.multiply(x, mask));
  return {
    layer,
    back(dy) {
      const dx = kernels.multiply(dy, mask);
      dy.dispose();
      mask.dispose();
      return [dx];
    },
  };
}

/** Layers without parameters. */
function forwardPlain(
  runtime: Runtime,
  layer: Exclude<Layer, { kind: 'convolution' | 'dense' | 'dropout' }>,
  uses: UseCounter,
): Tape {
  const { kernels, tf } = runtime;
  const x = uses.value(layer.input);
  switch (layer.kind) {
    case 'max-pool':
      uses.set(layer.name, kernels.maxPool(x as Tensor4D, layer));
      return {
        layer,
        back(dy) {
          const xValue = uses.value(layer.input) as Tensor4D;
          const y = uses.value(layer.name) as Tensor4D;
          const dx = kernels.maxPoolGradient(dy as Tensor4D, xValue, y, layer);
          dy.dispose();
          uses.release(layer.name);
          uses.release(layer.input);
          return [dx];
        },
      };
    case 'global-average-pool': {
      const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
      uses.set(layer.name, tf.mean(x as Tensor4D, [1, 2]));
      return {
        layer,
        back(dy) {
          const dx = tf.tidy(() =>
            dy
              .mul(1 / (height * width))
              .reshape([batch, 1, 1, channels])
              .tile([1, height, width, 1]),
          );
          dy.dispose();
          return [dx];
        },
      };
    }
    case 'flatten': {
      const { shape } = x;
      uses.set(layer.name, x.reshape([-1, layer.outputShape.channels]));
      return {
        layer,
        back(dy) {
          const dx = dy.reshape(shape);
          dy.dispose();
          return [dx];
        },
      };
    }
    case 'add':
      return forwardAdd(runtime, layer, uses);
  }
}

function forwardAdd({ kernels }: Runtime, layer: Layer & { kind: 'add' }, uses: UseCounter): Tape {
  const { activation } = layer;
  const sum = kernels.add(uses.value(layer.input), uses.value(layer.secondInput));
  let y = sum;
  if (activation !== 'none') {
    y = kernels.activate(sum, activation);
    sum.dispose();
  }
  uses.set(layer.name, y);
  return {
    layer,
    back(dy) {
      let d = dy;
      if (activation !== 'none') {
        d = kernels.activationGradient(dy, uses.value(layer.name), activation);
        dy.dispose();
        uses.release(layer.name);
      }
      // Both branches receive the same gradient; each frees its own handle on it.
      return [d, d.clone()];
    },
  };
}

function backward({ kernels }: Runtime, tapes: readonly Tape[], dlogits: Tensor): void {
  const pending = new Map<string, Tensor>();
  pending.set(tapes.at(-1)!.layer.name, dlogits); // networks are never empty
  for (const { layer, back } of tapes.toReversed()) {
    const dy = pending.get(layer.name);
    if (dy === undefined) throw new InternalError(`nothing reads layer ${layer.name}`);
    pending.delete(layer.name);
    const inputGradients = back(dy);
    inputNames(layer).forEach((name, index) => {
      const gradient = inputGradients[index] ?? null;
      if (gradient === null) return;
      const other = pending.get(name);
      if (other === undefined) {
        pending.set(name, gradient);
        return;
      }
      pending.set(name, kernels.add(other, gradient));
      other.dispose();
      gradient.dispose();
    });
  }
}

function valueOf(values: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const value = values.get(name);
  if (value === undefined)
    throw new InternalError(`the value of layer ${name} was freed too early`);
  return value;
}

function inputNames(layer: Layer): string[] {
  return layer.kind === 'add' ? [layer.input, layer.secondInput] : [layer.input];
}

/** Index of the last layer that reads each value. */
function lastUses(network: Network): Map<string, number> {
  const uses = new Map<string, number>();
  network.layers.forEach((layer, index) => {
    for (const name of inputNames(layer)) uses.set(name, index);
  });
  return uses;
}
