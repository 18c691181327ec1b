import { InternalError } from '../diagnostics/errors.ts';
import { createRandom, type Random } from '../numeric/random.ts';
import {
  headOf,
  parameterSpecs,
  elementCount,
  type Network,
  type ParameterSpec,
} from './network.ts';

/** Values of every parameter and running statistic by name, in the layouts of `parameterSpecs`. */
export type Weights = ReadonlyMap<string, Float32Array>;

/** Weights that need not all lie in memory. */
export type WeightLookup = Pick<Weights, 'get'>;

export function weightOf(weights: WeightLookup, name: string): Float32Array {
  const data = weights.get(name);
  if (data === undefined) throw new InternalError(`no weights for ${name}`);
  return data;
}

/**
 * `published`: as the networks' PyTorch sources. `he`: convolutions and hidden dense layers from
 * normal(0, sqrt(2 / fan_in)), biases zero (He et al. 2015, "Delving deep into rectifiers"): what makes
 * AlexNet, which has no batch norm, learn from small sets.
 */
export type Initialization = 'published' | 'he';

/**
 * Initial values as the networks' PyTorch sources have them; every parameter draws from a stream of
 * its own, so that a change in one layer leaves the others as they were.
 */
export function randomWeights(
  network: Network,
  seed: number,
  initialization: Initialization = 'published',
): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const spec of parameterSpecs(network)) {
    weights.set(spec.name, initialValues(network, spec, seed, initialization));
  }
  return weights;
}

/** Initial values of one parameter. */
export function initialValues(
  network: Network,
  spec: ParameterSpec,
  seed: number,
  initialization: Initialization = 'published',
): Float32Array {
  const values = new Float32Array(elementCount(spec.shape));
  const { layer } = spec;
  switch (spec.role) {
    case 'gamma':
    case 'variance':
      return values.fill(1);
    case 'beta':
    case 'mean':
      return values;
    case 'weight':
    case 'bias': {
      const random = createRandom(seed, `weights/${spec.name}`);
      if (initialization === 'he' && layer !== headOf(network)) {
        const deviation = Math.sqrt(2 / fanIn(spec));
        return spec.role === 'bias' ? values : values.map(() => deviation * random.normal());
      }
      if (layer.kind === 'dense') return fillDense(network, spec, values, random);
      if (spec.role === 'bias') return values.fill(convolutionBias(network, layer.weightName));
      const deviation = convolutionDeviation(network, spec);
      return values.map(() => deviation * random.normal());
    }
  }
}

/** Inputs of one output. */
function fanIn({ shape, layer }: ParameterSpec): number {
  const [height = 1, width = 1, inputs = 1] = shape;
  if (layer.kind === 'dense') return height; // [in, out]
  return layer.depthwise ? height * width : height * width * inputs;
}

function convolutionDeviation(network: Network, { layer, shape }: ParameterSpec): number {
  // The paper's AlexNet draws convolutions from normal(0, 0.01).
  if (network.options.architecture === 'alexnet') return 0.01;
  // kaiming_normal_(mode="fan_out", nonlinearity="relu"), as torchvision's MobileNetV2 and ResNet.
  const [height = 1, width = 1] = shape;
  const depthwise = layer.kind === 'convolution' && layer.depthwise;
  // PyTorch's fan_out of a depthwise weight [channels, 1, kh, kw] is channels * kh * kw, whatever its groups.
  const outputs = depthwise ? (shape[2] ?? 1) : (shape[3] ?? 1);
  return Math.sqrt(2 / (outputs * height * width));
}

/** The paper sets the biases of AlexNet's second, fourth and fifth convolution to one (Krizhevsky et al. 2012). */
function convolutionBias(network: Network, weightName: string): number {
  const ones = ['features.3', 'features.8', 'features.10'];
  return network.options.architecture === 'alexnet' && ones.includes(weightName) ? 1 : 0;
}

function fillDense(
  network: Network,
  { role, layer }: ParameterSpec,
  values: Float32Array,
  random: Random,
): Float32Array {
  if (network.options.architecture === 'mobilenet-v2' && layer === headOf(network)) {
    // torchvision's MobileNetV2: nn.init.normal_(weight, 0, 0.01), zero bias.
    return role === 'bias' ? values : values.map(() => 0.01 * random.normal());
  }
  // nn.Linear's default: uniform in +-1 / sqrt(fan_in), for weight and bias alike.
  const bound = 1 / Math.sqrt(layer.inputShape.channels);
  return values.map(() => (2 * random.next() - 1) * bound);
}
