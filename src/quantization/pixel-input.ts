import type { Normalization } from '../data/image-shards.ts';
import { attributeOf, integerOf } from '../onnx/attributes.ts';
import { makeNode, makeTensor, type TensorData } from '../onnx/build.ts';
import {
  indexGraph,
  nameMaker,
  pruneInitializers,
  shownNode,
  soleConsumer,
  sortNodes,
} from '../onnx/graph-edit.ts';
import {
  cloneModel,
  graphOf,
  type Initializer,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
} from '../onnx/model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../onnx/tensor-data.ts';
import { gainsByPadding } from './pad-input-channels.ts';
import { UINT8_MAX, type TensorRange } from './parameters.ts';
import { prepareModel } from './prepare-model.ts';

/** A float model whose first convolution reads pixel values. */
export interface PixelModel extends PixelInput {
  /** Of the normalized float32 input, as the model it was made from. */
  readonly model: OnnxModel;
}

/** What quantizing a pixel model needs to know. */
export interface PixelInput {
  /** Range of the tensor the first convolution reads; its codes are the pixels. */
  readonly tensors: Readonly<Record<string, TensorRange>>;
  /** Name of the node that makes pixels of normalized values, to be excluded from quantization. */
  readonly node: string;
  readonly normalization: Normalization;
  /** The code of zero. */
  readonly middle: number;
  /** Value of the constant fourth channel, as a code. */
  readonly constantCode: number;
  /** The input, or where that has its channels last, its transpose. */
  readonly normalized: string;
  /** What the convolution read before, where the model itself made it of `normalized`; gone. */
  readonly replaced: string | null;
  /** Name of the first convolution. */
  readonly convolution: string;
  /** Whether the fourth channel makes it faster. */
  readonly isFaster: boolean;
}

/**
 * The same function, its first convolution reading the pixels p of which the input is the normalized
 * form (p / 255 - mean) / std, exactly and whatever its padding: rounding them to codes loses nothing,
 * where codes spread over the range of normalized values lie between the pixels. Its weights become
 * w / (255 std) and read p - z, z being a whole pixel value. What is left of the mean, which a bias
 * could carry only where no padding is, comes from a fourth channel that is constant inside the image
 * and, like the others, zero in the padding: padding stays the zero of *normalized* values.
 * onnxruntime's kernel wants four channels anyway. A normalization that the model does itself is taken in
 * where it makes the values that the convolution reads. Null when something else than one convolution over
 * three channels, its weights initializers, reads the input or a transpose of it.
 */
export function takePixels(floatModel: OnnxModel, { mean, std }: Normalization): PixelModel | null {
  let model = cloneModel(floatModel);
  let found = findPixelConvolution(graphOf(model));
  if (found === null) {
    // Constant nodes, a transposed input and the like stand between them.
    model = prepareModel(floatModel);
    found = findPixelConvolution(graphOf(model));
  }
  if (found === null) return null;
  const graph = graphOf(model);
  const { convolution, weight, normalized, affine } = found;
  const read = behind(affine, { mean, std });
  const pixelMeans = read.mean.map((value) => 255 * value);
  const middle = Math.min(Math.max(Math.round(average(pixelMeans)), 0), UINT8_MAX);
  const remainders = pixelMeans.map((value) => value - middle);
  // Large enough that the fourth channel's weights need no larger scale than the others.
  const wanted = Math.max(1, Math.ceil(remainders.reduce((sum, r) => sum + Math.abs(r), 0)));
  const constant = Math.min(wanted, Math.max(middle, UINT8_MAX - middle));
  const sign = middle + constant <= UINT8_MAX ? 1 : -1;

  const newName = nameMaker(graph);
  const dims = dimsOf(weight);
  const constantOf = (wantedName: string, sizes: readonly number[], data: TensorData): string => {
    const tensor = newName(wantedName);
    graph.initializer.push(makeTensor(tensor, sizes, data));
    return tensor;
  };
  // A convolution, since multiplications and additions would be folded when the model is prepared.
  const toPixels = newName('pixels');
  const deviations = diagonalOf(std.map((value) => 255 * value));
  const shifts = mean.map((value) => 255 * value - middle);
  const offsets = Float32Array.from([...shifts, sign * constant]);
  const node = makeNode({
    opType: 'Conv',
    name: toPixels,
    inputs: [
      normalized,
      constantOf('pixel_deviations', [4, 3, 1, 1], deviations),
      constantOf('pixel_offsets', [4], offsets),
    ],
    outputs: [toPixels],
  });
  const settings = { std: read.std, remainders, constant: sign * constant };
  const pixelDims = [dims[0] ?? 0, 4, ...dims.slice(2)];
  convolution.input[0] = toPixels;
  convolution.input[1] = constantOf(
    `${weight.name}_of_pixels`,
    pixelDims,
    pixelWeights(readFloats(weight), dims, settings),
  );
  graph.node = graph.node.filter((other) => other !== affine?.node);
  graph.node.push(node);
  sortNodes(graph);
  pruneInitializers(graph);
  return {
    model,
    tensors: { [toPixels]: { min: -middle, max: UINT8_MAX - middle } },
    node: toPixels,
    normalization: { mean, std },
    middle,
    constantCode: middle + sign * constant,
    normalized,
    replaced: affine === null ? null : (affine.node.output[0] ?? ''),
    convolution: shownNode(convolution),
    isFaster: gainsByPadding(convolution, dims),
  };
}

/** Weights [4, 3, 1, 1] that scale three channels and leave the fourth to the bias. */
export function diagonalOf(factors: readonly number[]): Float32Array {
  return Float32Array.from(
    { length: 4 * 3 },
    (_, i) => (i % 3 === Math.floor(i / 3) ? factors[i % 3]! : 0), // three factors
  );
}

interface PixelConvolution {
  readonly convolution: OnnxNode;
  readonly weight: Initializer;
  /** The input, or its transpose. */
  readonly normalized: string;
  /** What stands between that and the convolution. */
  readonly affine: ChannelAffine | null;
}

/** A normalization in the model itself, as `foldAffine` leaves it: y = a · x + b in each channel. */
interface ChannelAffine {
  readonly node: OnnxNode;
  readonly factors: Float32Array;
  readonly summands: Float32Array;
}

function findPixelConvolution(graph: OnnxGraph): PixelConvolution | null {
  const index = indexGraph(graph);
  const [inputName = ''] = index.inputs;
  const first = soleConsumer(index, inputName);
  const isTransposed = first?.opType === 'Transpose';
  const normalized = isTransposed ? (first.output[0] ?? '') : inputName;
  const reader = isTransposed ? soleConsumer(index, normalized) : first;
  const affine = reader === undefined ? null : channelAffine(reader, index.initializers);
  const tensor = affine === null ? normalized : (affine.node.output[0] ?? '');
  const convolution = affine === null ? reader : soleConsumer(index, tensor);
  const weight = index.initializers.get(convolution?.input[1] ?? '');
  const isFound =
    convolution?.opType === 'Conv' &&
    convolution.input[0] === tensor &&
    integerOf(convolution, 'group', 1) === 1 &&
    weight !== undefined &&
    isFloatTensor(weight) &&
    dimsOf(weight).length === 4 &&
    dimsOf(weight)[1] === 3;
  return isFound ? { convolution, weight, normalized, affine } : null;
}

function channelAffine(
  node: OnnxNode,
  initializers: ReadonlyMap<string, Initializer>,
): ChannelAffine | null {
  const weight = initializers.get(node.input[1] ?? '');
  const biasName = node.input[2] ?? '';
  const bias = initializers.get(biasName);
  const isPointwise =
    node.opType === 'Conv' &&
    integerOf(node, 'group', 1) === 3 &&
    weight !== undefined &&
    isFloatTensor(weight) &&
    dimsOf(weight).join() === '3,1,1,1';
  const isPlain = ['pads', 'strides', 'auto_pad'].every(
    (name) => attributeOf(node, name) === undefined,
  );
  if (!isPointwise || !isPlain || (biasName !== '' && bias === undefined)) return null;
  const factors = readFloats(weight);
  // A channel that is thrown away has no pixels.
  if (factors.some((factor) => !(factor > 0))) return null;
  return { node, factors, summands: bias === undefined ? new Float32Array(3) : readFloats(bias) };
}

/** The normalization of what `affine` makes of normalized pixels: a · (p - m) / s + b = (p - m') / s'. */
function behind(affine: ChannelAffine | null, { mean, std }: Normalization): Normalization {
  if (affine === null) return { mean, std };
  const { factors, summands } = affine;
  const each = <T>(of: (c: 0 | 1 | 2) => T): [T, T, T] => [of(0), of(1), of(2)];
  return {
    std: each((c) => std[c] / factors[c]!),
    mean: each((c) => mean[c] - (summands[c]! * std[c]) / factors[c]!), // three of both
  };
}

/** float32 [M, 3, kH, kW] → [M, 4, kH, kW]: of pixels less the middle, and of the constant. */
function pixelWeights(
  values: Float32Array,
  [channels = 0, , height = 0, width = 0]: readonly number[],
  options: {
    readonly std: readonly number[];
    readonly remainders: readonly number[];
    readonly constant: number;
  },
): Float32Array {
  const { std, remainders, constant } = options;
  const area = height * width;
  const result = new Float32Array(channels * 4 * area);
  for (let m = 0; m < channels; m += 1) {
    for (let tap = 0; tap < area; tap += 1) {
      let shift = 0;
      // Every index lies inside both tensors.
      for (let c = 0; c < 3; c += 1) {
        const value = values[(m * 3 + c) * area + tap]! / (255 * std[c]!);
        result[(m * 4 + c) * area + tap] = value;
        shift -= value * remainders[c]!;
      }
      result[(m * 4 + 3) * area + tap] = shift / constant;
    }
  }
  return result;
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
