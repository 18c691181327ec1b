import type { Tensor } from '@tensorflow/tfjs-node';
import type { Activation, ConvolutionLayer, DenseLayer, Layer } from '../models/network.ts';
import type { Kernels } from './kernels.ts';
import { dense, flatten, globalAveragePool, type LayerRuntime } from './layer-runtime.ts';
import { normalizePointwise, normalizesThroughInput } from './pointwise-batch-norm.ts';
import type { UseCounter } from './use-counter.ts';

/** What one layer's gradient reads; tensors in it are freed by the backward pass. */
export interface Tape {
  readonly layer: Layer;
  /** A step back: takes the gradient by the output, gives those by the inputs, in their order. */
  readonly back: (dy: Tensor) => (Tensor | null)[];
}

/** Runs one layer and gives its step back; `collect` receives the gradients of its parameters. */
export function forwardLayer(
  runtime: LayerRuntime,
  layer: Layer,
  uses: UseCounter,
  seed: readonly [number, number],
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  switch (layer.kind) {
    case 'convolution':
      return normalizesThroughInput(
        layer,
        runtime.kernels.precision,
        uses.value(layer.input).shape[0],
      )
        ? forwardPointwise(runtime, layer, uses, collect)
        : forwardConvolution(runtime, layer, uses, collect);
    case 'dense':
      return forwardDense(runtime, layer, uses, collect);
    case 'dropout':
      return forwardDropout(runtime, layer, uses, seed);
    default:
      return forwardPlain(runtime, layer, uses);
  }
}

function forwardPointwise(
  runtime: LayerRuntime,
  layer: ConvolutionLayer & { batchNormName: string },
  uses: UseCounter,
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  const { kernels, replace } = runtime;
  const { batchNormName, weightName } = layer;
  const { y, gradients, ...running } = normalizePointwise(runtime, layer, uses.value(layer.input));
  replace(`${batchNormName}.running_mean`, running.runningMean);
  replace(`${batchNormName}.running_var`, running.runningVariance);
  uses.set(layer.name, y);
  return {
    layer,
    back(dy) {
      const d = beforeActivation(kernels, layer, uses, dy);
      const { weight, gamma, beta, input } = gradients(d, uses.wantsGradient(layer.input));
      collect(`${weightName}.weight`, weight);
      collect(`${batchNormName}.weight`, gamma);
      collect(`${batchNormName}.bias`, beta);
      d.dispose();
      uses.release(layer.input);
      return [input];
    },
  };
}

function forwardConvolution(
  { kernels, parameter, replace }: LayerRuntime,
  layer: ConvolutionLayer,
  uses: UseCounter,
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  const x = uses.value(layer.input);
  const weightName = `${layer.weightName}.weight`;
  const { batchNormName, activation } = layer;
  const weights = kernels.convolutionWeights(parameter(weightName), layer);
  let z: Tensor | null = null;
  let y: Tensor;
  let reserved: [Tensor, Tensor, Tensor] | null = null;
  if (batchNormName === null) {
    y = kernels.convolutionWithBias(x, weights, parameter(`${layer.weightName}.bias`), layer);
    if (activation !== 'none') {
      const sum = y;
      y = kernels.activate(sum, activation);
      sum.dispose();
    }
  } else {
    z = kernels.convolution(x, weights, layer);
    const inputs = {
      x: z,
      gamma: parameter(`${batchNormName}.weight`),
      beta: parameter(`${batchNormName}.bias`),
      movingMean: parameter(`${batchNormName}.running_mean`),
      movingVariance: parameter(`${batchNormName}.running_var`),
    };
    const result = kernels.batchNormTraining(inputs, activation);
    y = result.y;
    reserved = [...result.reserved];
    replace(`${batchNormName}.running_mean`, result.mean);
    replace(`${batchNormName}.running_var`, result.variance);
  }
  uses.set(layer.name, y);
  return {
    layer,
    back(dy) {
      let d = beforeActivation(kernels, layer, uses, dy);
      if (z !== null && reserved !== null && batchNormName !== null) {
        const gamma = parameter(`${batchNormName}.weight`);
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
      const xValue = uses.value(layer.input);
      collect(weightName, kernels.convolutionWeightGradient(d, xValue, layer, weights.shape));
      // Nobody wants the gradient by the image, nor by what no learning layer comes before.
      const dx = uses.wantsGradient(layer.input)
        ? kernels.convolutionInputGradient(d, weights, layer, xValue.shape)
        : null;
      weights.dispose();
      d.dispose();
      uses.release(layer.input);
      return [dx];
    },
  };
}

function forwardDense(
  runtime: LayerRuntime,
  layer: DenseLayer,
  uses: UseCounter,
  collect: (name: string, gradient: Tensor) => void,
): Tape {
  const { kernels, parameter } = runtime;
  uses.set(layer.name, dense(runtime, layer, uses.value(layer.input)));
  return {
    layer,
    back(dy) {
      const d = beforeActivation(kernels, layer, uses, dy);
      const x = uses.value(layer.input);
      collect(`${layer.weightName}.bias`, kernels.biasGradient(d));
      collect(`${layer.weightName}.weight`, kernels.matMul(x, d, true, false));
      const dx = uses.wantsGradient(layer.input)
        ? kernels.matMul(d, parameter(`${layer.weightName}.weight`), false, true)
        : null;
      d.dispose();
      uses.release(layer.input);
      return [dx];
    },
  };
}

/** Inverted dropout: kept values are scaled by 1 / (1 - rate), as PyTorch's. */
function forwardDropout(
  { tf, kernels }: LayerRuntime,
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

/** Takes the gradient by a layer's output, gives that by what its activation was applied to. */
function beforeActivation(
  kernels: Kernels,
  { name, activation }: { readonly name: string; readonly activation: Activation },
  uses: UseCounter,
  dy: Tensor,
): Tensor {
  if (activation === 'none') return dy;
  const d = kernels.activationGradient(dy, uses.value(name), activation);
  dy.dispose();
  uses.release(name);
  return d;
}

/** Layers without parameters. */
function forwardPlain(
  runtime: LayerRuntime,
  layer: Exclude<Layer, { kind: 'convolution' | 'dense' | 'dropout' }>,
  uses: UseCounter,
): Tape {
  const { kernels, tf } = runtime;
  const x = uses.value(layer.input);
  switch (layer.kind) {
    case 'max-pool': {
      const { y, gradient } = kernels.maxPoolTraining(x, layer);
      uses.set(layer.name, y);
      return {
        layer,
        back(dy) {
          const dx = gradient(dy);
          dy.dispose();
          return [dx];
        },
      };
    }
    case 'global-average-pool': {
      const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
      uses.set(layer.name, globalAveragePool(runtime, x));
      const toInputType = kernels.toTypeOf(x);
      return {
        layer,
        back(dy) {
          const dx = tf.tidy(() =>
            toInputType(
              dy
                .mul(1 / (height * width))
                .reshape([batch, 1, 1, channels])
                .tile([1, height, width, 1]),
            ),
          );
          dy.dispose();
          return [dx];
        },
      };
    }
    case 'flatten': {
      const { shape } = x;
      uses.set(layer.name, flatten(runtime, x, layer.outputShape.channels));
      const toInputType = kernels.toTypeOf(x);
      return {
        layer,
        back(dy) {
          const dx = tf.tidy(() => toInputType(dy.reshape(shape)));
          dy.dispose();
          return [dx];
        },
      };
    }
    case 'add':
      return forwardAdd(runtime, layer, uses);
  }
}

function forwardAdd(
  { kernels }: LayerRuntime,
  layer: Layer & { kind: 'add' },
  uses: UseCounter,
): Tape {
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
      const d = beforeActivation(kernels, layer, uses, dy);
      // Both branches receive the same gradient; each frees its own handle on it.
      if (!uses.wantsGradient(layer.secondInput)) return [d, null];
      return uses.wantsGradient(layer.input) ? [d, d.clone()] : [null, d];
    },
  };
}
