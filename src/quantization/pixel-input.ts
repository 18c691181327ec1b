import type { Normalization } from '../data/image-shards.ts';
import {
  integerOf,
  integersOf,
  removeAttributes,
  setIntegers,
  stringOf,
} from '../onnx/attributes.ts';
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
import { inferGraph } from '../onnx/shape-inference.ts';
import { dimsOf, isFloatTensor, readFloats } from '../onnx/tensor-data.ts';
import { channelAffine, type ChannelAffine } from './channel-affine.ts';
import { TARGETS, type Target } from './choices.ts';
import {
  fourChannelForm,
  pixelScaleOf,
  threeChannelForm,
  type PixelForm,
  type NormalizedWindow,
} from './pixel-forms.ts';
import { gainsByPadding, LARGEST_WINDOW } from './pad-input-channels.ts';
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
  /** Value of the constant fourth channel, as a code; null where there are three channels. */
  readonly constantCode: number | null;
  /** Rows and columns of zeros, as ONNX orders them, that are put around the normalized image; null: none. */
  readonly pads: readonly number[] | null;
  /** Whether the convolution reads blocks of 2 x 2 pixels, in the channels of SpaceToDepth. */
  readonly isBlocked: boolean;
  /** The input, or where that has its channels last, its transpose. */
  readonly normalized: string;
  /** What the convolution read before, where the model itself made it of `normalized`; gone. */
  readonly replaced: string | null;
  /** Name of the first convolution. */
  readonly convolution: string;
  /** Whether it is as fast so, or faster, on some CPU. */
  readonly isWorthIt: boolean;
}

/**
 * The same function, its first convolution reading the pixels p of which the input is the normalized
 * form (p / 255 - mean) / std, exactly and whatever its padding: rounding them to codes loses nothing,
 * where codes spread over the range of normalized values lie between the pixels. Its weights become
 * w / (255 std) and read p - z, z being a whole pixel value. What is left of the mean, which a bias
 * could carry only where no padding is, comes from a fourth channel that is constant inside the image
 * and, like the others, zero in the padding: padding stays the zero of *normalized* values.
 * onnxruntime's kernel wants four channels anyway. Where three are faster on `target` (see `isFasterWithThree`), the
 * convolution reads those if it can and not a transpose; a `target` of null, for uint8 input, always means
 * four. A normalization that the model does itself is taken in where it makes the values that the
 * convolution reads. Null when something else than one convolution over three channels, its weights initializers,
 * reads the input or a transpose of it.
 */
export function takePixels(
  floatModel: OnnxModel,
  normalization: Normalization,
  target: Target | null = null,
): PixelModel | null {
  let model = cloneModel(floatModel);
  let found = findPixelConvolution(graphOf(model));
  if (found === null) {
    // Constant nodes, a transposed input and the like stand between them.
    model = prepareModel(floatModel);
    found = findPixelConvolution(graphOf(model));
  }
  if (found === null) return null;
  const graph = graphOf(model);
  const { convolution, weight, normalized, affine, isTransposed } = found;
  const dims = dimsOf(weight);
  const scale = pixelScaleOf(normalization, behind(affine, normalization));
  const window = windowOf(graph, found);
  const three = target === null || isTransposed ? null : threeChannelForm(window, scale);
  const form =
    target !== null && three !== null && isFasterWithThree(dims, target, three)
      ? three
      : fourChannelForm(window, scale);

  const newName = nameMaker(graph);
  const constantOf = (wantedName: string, sizes: readonly number[], data: TensorData): string => {
    const tensor = newName(wantedName);
    graph.initializer.push(makeTensor(tensor, sizes, data));
    return tensor;
  };
  // A convolution, since multiplications and additions would be folded when the model is prepared.
  const toPixels = newName('pixels');
  const node = makeNode({
    opType: 'Conv',
    name: toPixels,
    inputs: [
      normalized,
      constantOf('pixel_deviations', form.toPixels.dims, form.toPixels.weights),
      constantOf('pixel_offsets', [form.toPixels.offsets.length], form.toPixels.offsets),
    ],
    outputs: [toPixels],
    attributes: form.toPixels.attributes,
  });
  convolution.input[0] = toPixels;
  convolution.input[1] = constantOf(`${weight.name}_of_pixels`, form.dims, form.weights);
  if (form.bias !== null) {
    const bias = constantOf(`${weight.name}_bias_of_pixels`, [form.bias.length], form.bias);
    convolution.input[2] = bias;
    removeAttributes(convolution, 'auto_pad');
  }
  for (const [name, values] of Object.entries(form.attributes)) {
    setIntegers(convolution, name, values);
  }
  graph.node = graph.node.filter((other) => affine?.nodes.includes(other) !== true);
  graph.node.push(node);
  sortNodes(graph);
  pruneInitializers(graph);
  const { middle } = scale;
  const { constantCode, pads, isBlocked } = form;
  const isWorthIt =
    form === three || TARGETS.some((each) => gainsByPadding(convolution, dims, each));
  return {
    ...{ model, normalization, normalized, middle, constantCode, pads, isBlocked, isWorthIt },
    tensors: { [toPixels]: { min: -middle, max: UINT8_MAX - middle } },
    node: toPixels,
    replaced: affine === null ? null : affine.output,
    convolution: shownNode(convolution),
  };
}

/**
 * Measured with onnxruntime 1.30 at 224 x 224, one thread, with what brings the pixels there, in ms. On AVX512-VNNI
 * blocks, four channels and three: 5x5 0.53, 0.71, 0.83; 7x7 1.05, 1.40, 1.32; 3x3 0.42, 0.42, 0.58; 11x11 of stride 4
 * in three channels 0.50, in four 0.79. On AVX2 see `threeChannelForm`.
 */
function isFasterWithThree(
  [, , height = 0, width = 0]: readonly number[],
  target: Target,
  { isBlocked }: PixelForm,
): boolean {
  const places = height * width;
  return places > LARGEST_WINDOW[target] || (target === 'vnni' && isBlocked && places > 3 * 3);
}

function windowOf(graph: OnnxGraph, found: PixelConvolution): NormalizedWindow {
  const { convolution, weight, bias, normalized } = found;
  // Of the input; behind a transpose it is not asked for.
  const [, , height = NaN, width = NaN] =
    inferGraph({ ...graph, node: [] }).shapes.get(normalized) ?? [];
  const isAll = (name: string, value: number): boolean =>
    (integersOf(convolution, name) ?? [1, 1]).every((each) => each === value);
  return {
    values: readFloats(weight),
    dims: dimsOf(weight),
    bias: bias === null || bias === 'computed' ? bias : readFloats(bias),
    pads: writtenPads(convolution),
    isPlainStride2: isAll('strides', 2) && isAll('dilations', 1),
    imageSize: height > 0 && width > 0 ? [height, width] : null,
  };
}

/** Four numbers: above, left, below, right; null where the operator works them out by itself. */
function writtenPads(convolution: OnnxNode): number[] | null {
  const rule = stringOf(convolution, 'auto_pad', 'NOTSET');
  if (rule === 'VALID') return [0, 0, 0, 0];
  return rule === 'NOTSET' ? (integersOf(convolution, 'pads') ?? [0, 0, 0, 0]) : null;
}

interface PixelConvolution {
  readonly convolution: OnnxNode;
  readonly weight: Initializer;
  /** null: none. */
  readonly bias: Initializer | 'computed' | null;
  /** The input, or its transpose. */
  readonly normalized: string;
  readonly isTransposed: boolean;
  /** What stands between that and the convolution. */
  readonly affine: ChannelAffine | null;
}

function findPixelConvolution(graph: OnnxGraph): PixelConvolution | null {
  const index = indexGraph(graph);
  const [inputName = ''] = index.inputs;
  const first = soleConsumer(index, inputName);
  const isTransposed = first?.opType === 'Transpose';
  const normalized = isTransposed ? (first.output[0] ?? '') : inputName;
  const reader = isTransposed ? soleConsumer(index, normalized) : first;
  const affine = channelAffine(normalized, index);
  const tensor = affine === null ? normalized : affine.output;
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
  if (!isFound) return null;
  const biasName = convolution.input[2] ?? '';
  const bias = index.initializers.get(biasName) ?? (biasName === '' ? null : 'computed');
  return { convolution, weight, bias, normalized, isTransposed, affine };
}

/** The normalization of what `affine` makes of normalized pixels: a · (p - m) / s + b = (p - m') / s'. */
function behind(affine: ChannelAffine | null, normalization: Normalization): Normalization {
  if (affine === null) return normalization;
  const { mean, std } = normalization;
  const { factors, summands } = affine;
  const each = <T>(of: (c: 0 | 1 | 2) => T): [T, T, T] => [of(0), of(1), of(2)];
  return {
    std: each((c) => std[c] / factors[c]!),
    mean: each((c) => mean[c] - (summands[c]! * std[c]) / factors[c]!), // three of both
  };
}
