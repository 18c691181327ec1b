import type { Normalization } from '../data/image-shards.ts';
import { OnnxError } from '../diagnostics/errors.ts';
import { integerOf } from '../onnx/attributes.ts';
import { makeNode, makeTensor } from '../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import {
  indexGraph,
  nameMaker,
  pruneInitializers,
  pruneNodes,
  shownNode,
  soleConsumer,
  sortNodes,
} from '../onnx/graph-edit.ts';
import { graphOf, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import { dimsOf, isFloatTensor, readFloats } from '../onnx/tensor-data.ts';
import type { TensorRange } from './parameters.ts';
import { UINT8_MAX } from './parameters.ts';
import { prepareModel } from './prepare-model.ts';
import type { QuantizedModel } from './quantize-model.ts';

/** A float model that takes uint8 pixels, and what quantizing it needs to know. */
export interface PixelModel {
  readonly model: OnnxModel;
  /** Range of the tensor the first convolution reads; its codes are the pixels. */
  readonly tensors: Readonly<Record<string, TensorRange>>;
  /** Nodes that only exist in the float form: to be excluded from quantization. */
  readonly excluded: readonly string[];
  /** Value of the constant fourth channel, as a code. */
  readonly constantCode: number;
}

/**
 * The same function of raw uint8 pixels [N, 3, H, W]: normalization (p / 255 - mean) / std is folded
 * into the first convolution, exactly and whatever its padding. Its weights become w / (255 std) and
 * read p - z, z being a whole pixel value. What is left of the mean, which a bias could carry only
 * where no padding is, comes from a fourth channel that is constant inside the image and, like the
 * others, zero in the padding: padding stays the zero of *normalized* values. onnxruntime's kernel
 * wants four channels anyway.
 * @throws OnnxError `quantization/pixel-input` when something else than one convolution reads the input
 */
export function takePixels(
  floatModel: OnnxModel,
  { mean, std }: Normalization,
  shownName: string,
): PixelModel {
  const model = prepareModel(floatModel);
  const graph = graphOf(model);
  const index = indexGraph(graph);
  const input = graph.input.find(({ name }) => index.inputs.has(name));
  const inputName = input?.name ?? '';
  const convolution = soleConsumer(index, inputName);
  const weight = index.initializers.get(convolution?.input[1] ?? '');
  if (
    input?.type?.value.case !== 'tensorType' ||
    convolution?.opType !== 'Conv' ||
    convolution.input[0] !== inputName ||
    integerOf(convolution, 'group', 1) !== 1 ||
    weight === undefined ||
    !isFloatTensor(weight) ||
    dimsOf(weight)[1] !== 3
  ) {
    throw cannotFold(shownName, convolution, inputName);
  }
  const pixelMeans = mean.map((value) => 255 * value);
  const middle = Math.min(Math.max(Math.round(average(pixelMeans)), 0), UINT8_MAX);
  const remainders = pixelMeans.map((value) => value - middle);
  // Large enough that the fourth channel's weights need no larger scale than the others.
  const wanted = Math.max(1, Math.ceil(remainders.reduce((sum, r) => sum + Math.abs(r), 0)));
  const constant = Math.min(wanted, Math.max(middle, UINT8_MAX - middle));
  const sign = middle + constant <= UINT8_MAX ? 1 : -1;

  const newName = nameMaker(graph);
  const weights = newName(`${weight.name}_of_pixels`);
  const dims = dimsOf(weight);
  graph.initializer.push(
    makeTensor(
      weights,
      [dims[0] ?? 0, 4, ...dims.slice(2)],
      pixelWeights(readFloats(weight), dims, { std, remainders, constant: sign * constant }),
    ),
  );
  const names = {
    middle: newName('pixel_middle'),
    constant: newName('pixel_constant'),
    pads: newName('pixel_pads'),
    float: newName('pixels_float'),
    centred: newName('pixels_centred'),
    padded: newName('pixels_padded'),
  };
  graph.initializer.push(
    makeTensor(names.middle, [], Float32Array.of(middle)),
    makeTensor(names.constant, [], Float32Array.of(sign * constant)),
    // [N, 3, H, W] → [N, 4, H, W]: begins of all axes, then ends
    makeTensor(names.pads, [8], BigInt64Array.of(0n, 0n, 0n, 0n, 0n, 1n, 0n, 0n)),
  );
  const added = [
    makeNode({
      opType: 'Cast',
      name: names.float,
      inputs: [inputName],
      outputs: [names.float],
      attributes: { to: DataType.FLOAT },
    }),
    makeNode({
      opType: 'Sub',
      name: names.centred,
      inputs: [names.float, names.middle],
      outputs: [names.centred],
    }),
    makeNode({
      opType: 'Pad',
      name: names.padded,
      inputs: [names.centred, names.pads, names.constant],
      outputs: [names.padded],
    }),
  ];
  input.type.value.value.elemType = DataType.UINT8;
  convolution.input[0] = names.padded;
  convolution.input[1] = weights;
  graph.node.push(...added);
  sortNodes(graph);
  pruneInitializers(graph);
  return {
    model,
    tensors: { [names.padded]: { min: -middle, max: UINT8_MAX - middle } },
    excluded: added.map(shownNode),
    constantCode: middle + sign * constant,
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

/**
 * Lets a quantized pixel model read its input as the codes they are: in place, the float nodes and the
 * QuantizeLinear between input and convolution are replaced by a Pad of the bytes. The input stays
 * NCHW: with the channels last onnxruntime 1.30 transposes the bytes slowly (MobileNetV2: 1.13 to
 * 1.26 times the latency of the float32 input, against 0.98 to 1.08 this way, on a loaded machine).
 */
export function readPixelsAsCodes(
  quantized: QuantizedModel,
  { excluded, constantCode, tensors }: PixelModel,
): QuantizedModel {
  const { model, plan } = quantized;
  const graph = graphOf(model);
  const index = indexGraph(graph);
  const input = graph.input.find(({ name }) => index.inputs.has(name));
  const [tensor = ''] = Object.keys(tensors);
  const quantize = soleConsumer(index, tensor);
  const floatNodes = plan.floatNodes.filter(({ node }) => !excluded.includes(node));
  // A first convolution that stays float reads the float form.
  if (input === undefined || quantize?.opType !== 'QuantizeLinear') return quantized;
  const pad = graph.node.find(({ output }) => output[0] === tensor);
  const newName = nameMaker(graph);
  const constant = newName('pixel_constant_code');
  graph.initializer.push(makeTensor(constant, [], Uint8Array.of(constantCode)));
  graph.node.push(
    makeNode({
      opType: 'Pad',
      name: newName('pixels/pad'),
      inputs: [input.name, pad?.input[1] ?? '', constant],
      outputs: [quantize.output[0] ?? ''],
    }),
  );
  graph.node = graph.node.filter((node) => node !== quantize);
  sortNodes(graph);
  pruneNodes(graph);
  pruneInitializers(graph);
  return { ...quantized, plan: { ...plan, floatNodes } };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function cannotFold(shownName: string, reader: OnnxNode | undefined, inputName: string): OnnxError {
  const found = reader === undefined ? 'several nodes' : `${reader.opType} "${shownNode(reader)}"`;
  return new OnnxError({
    code: 'quantization/pixel-input',
    message: `${shownName}: normalization cannot be folded exactly: ${found} reads the input "${inputName}"; expected one ungrouped convolution over three channels with constant weights`,
    hint: 'leave the input type at float32',
  });
}
