import type { Normalization } from '../data/image-shards.ts';
import { makeNode, makeTensor, type TensorData } from '../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import {
  indexGraph,
  nameMaker,
  pruneInitializers,
  pruneNodes,
  soleConsumer,
  sortNodes,
} from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph } from '../onnx/model.ts';
import { inferGraph } from '../onnx/shape-inference.ts';
import type { InputType } from './choices.ts';
import { UINT8_MAX } from './parameters.ts';
import { diagonalOf } from './pixel-forms.ts';
import type { PixelInput } from './pixel-input.ts';
import type { QuantizedModel } from './quantize-model.ts';

/** Names of nodes behind the input; reports give the reason for them. */
export const PIXEL_SHIFT = 'pixels/shift';
export const PIXEL_SCALING = 'pixels/scale';
export const PIXELS_TO_FLOAT = 'pixels/float';

const TO_PIXELS = 'makes pixels of the input for a first layer that stays float';

/**
 * Gives a quantized pixel model its input, in place: pixels become codes in the fewest operators.
 *
 * - uint8: they are the codes, and a Pad of the bytes brings the fourth channel. The input stays NCHW:
 *   with the channels last onnxruntime 1.30 transposes the bytes slowly (MobileNetV2: 1.13 to 1.26
 *   times the latency of the float32 input, against 0.98 to 1.08 this way, on a loaded machine).
 * - float32: QuantizeLinear with a scale and a zero point a channel gives round((p - m) / 1) + [m] for
 *   m = 255 mean, which is p, unless m lies about half way between two codes: then the input is first
 *   shifted to where rounding is safe. With three channels it is padded before that.
 */
export function makePixelInput(
  quantized: QuantizedModel,
  pixels: PixelInput,
  inputType: InputType,
): QuantizedModel {
  const { model, plan } = quantized;
  const graph = graphOf(model);
  const index = indexGraph(graph);
  const input = graph.input.find(({ name }) => index.inputs.has(name));
  const [tensor = ''] = Object.keys(pixels.tensors);
  const quantize = soleConsumer(index, tensor);
  if (input?.type?.value.case !== 'tensorType') return quantized;
  const newName = nameMaker(graph);
  const constantOf = (name: string, dims: readonly number[], data: TensorData): string => {
    const constant = newName(name);
    graph.initializer.push(makeTensor(constant, dims, data));
    return constant;
  };
  const add = (node: Parameters<typeof makeNode>[0]): string => {
    graph.node.push(makeNode(node));
    return node.outputs[0] ?? '';
  };
  const isUint8 = inputType === 'uint8';
  if (isUint8) {
    input.type.value.value.elemType = DataType.UINT8;
    // A transpose of it has another type now, too.
    graph.valueInfo = graph.valueInfo.filter(({ name }) => name !== pixels.normalized);
  }
  if (quantize?.opType !== 'QuantizeLinear') {
    // A first convolution that stays float reads the float form.
    if (!isUint8) return finished();
    const float = add({
      opType: 'Cast',
      name: newName(PIXELS_TO_FLOAT),
      inputs: [pixels.normalized],
      outputs: [newName('pixels_float')],
      attributes: { to: DataType.FLOAT },
    });
    const toPixels = index.producers.get(tensor)!; // put in with the tensor
    const { middle, constantCode } = pixels;
    const offsets = Float32Array.of(-middle, -middle, -middle, (constantCode ?? middle) - middle);
    toPixels.input = [
      float,
      constantOf('pixel_identity', [4, 3, 1, 1], diagonalOf([1, 1, 1])),
      constantOf('pixel_middle', [4], offsets),
    ];
    return finished();
  }
  const codes = quantize.output[0] ?? '';
  if (pixels.constantCode === null) {
    const source = padded(pixels.normalized, pixels.pads);
    if (pixels.isBlocked) {
      const planes = quantizePixels(source, newName('pixels'));
      const name = newName('pixels/blocks');
      const attributes = { blocksize: 2 };
      add({ opType: 'SpaceToDepth', name, inputs: [planes], outputs: [codes], attributes });
    } else {
      quantizePixels(source, codes);
    }
  } else {
    const threeChannels = isUint8
      ? pixels.normalized
      : quantizePixels(pixels.normalized, newName('pixels'));
    const constant = constantOf('pixel_constant_code', [], Uint8Array.of(pixels.constantCode));
    addPad(threeChannels, { begins: [0, 0, 0, 0], ends: [0, 1, 0, 0] }, constant, codes);
  }
  graph.node = graph.node.filter((node) => node !== quantize);
  return finished();

  function finished(): QuantizedModel {
    sortNodes(graph);
    pruneNodes(graph);
    pruneInitializers(graph);
    const remaining = new Set(graph.node.map(({ name }) => name));
    const floatNodes = plan.floatNodes
      .filter(({ node }) => node !== pixels.node || remaining.has(node))
      .map((float) => (float.node === pixels.node ? { ...float, reason: TO_PIXELS } : float));
    return { ...quantized, plan: { ...plan, floatNodes } };
  }

  /** `begins` and `ends` of [N, C, H, W]. */
  function addPad(
    source: string,
    { begins, ends }: { readonly begins: readonly number[]; readonly ends: readonly number[] },
    constant: string,
    output: string,
  ): string {
    const sizes = constantOf('pixel_pads', [8], BigInt64Array.from([...begins, ...ends], BigInt));
    const inputs = [source, sizes, constant];
    return add({ opType: 'Pad', name: newName('pixels/pad'), inputs, outputs: [output] });
  }

  /** `pads`: above, left, below, right. */
  function padded(normalized: string, pads: readonly number[] | null): string {
    if (pads === null) return normalized;
    const [top = 0, left = 0, bottom = 0, right = 0] = pads;
    const sides = { begins: [0, 0, top, left], ends: [0, 0, bottom, right] };
    const zero = constantOf('pixel_zero', [], new Float32Array(1));
    return addPad(normalized, sides, zero, newName('pixels_padded'));
  }

  function quantizePixels(normalized: string, output: string): string {
    const { scales, zeroPoints, shifts } = pixelRounding(pixels.normalization);
    const shifted = newName('pixels_shifted');
    // With the channels last onnxruntime applies three of each value by value, which takes 1.8 ms of a
    // MobileNetV2's 3.8 at 192 px: there is one for all channels where they agree, else a row at a time.
    const isUniform = [scales, zeroPoints].every((values) => new Set(values).size === 1);
    const width = isUniform ? undefined : widthOfChannelsLast(graph);
    if (width !== undefined) return quantizeRows(normalized, width, output);
    const source =
      shifts === null
        ? normalized
        : add({
            opType: 'Add',
            name: newName(PIXEL_SHIFT),
            inputs: [
              normalized,
              new Set(shifts).size === 1
                ? constantOf('pixel_shift', [], shifts.slice(0, 1))
                : constantOf('pixel_shift', [1, 3, 1, 1], shifts),
            ],
            outputs: [shifted],
          });
    return add({
      opType: 'QuantizeLinear',
      name: newName('pixels/quantize'),
      inputs: [
        source,
        isUniform
          ? constantOf('pixel_scale', [], scales.slice(0, 1))
          : constantOf('pixel_scales', [3], scales),
        isUniform
          ? constantOf('pixel_zero_point', [], zeroPoints.slice(0, 1))
          : constantOf('pixel_zero_points', [3], zeroPoints),
      ],
      outputs: [output],
      ...(isUniform ? {} : { attributes: { axis: 1 } }),
    });
  }

  function quantizeRows(normalized: string, width: number, output: string): string {
    const { factors, offsets } = pixelRows(pixels.normalization, width);
    const scaled = add({
      opType: 'Mul',
      name: newName(PIXEL_SCALING),
      inputs: [normalized, constantOf('pixel_factors', [1, 3, 1, width], factors)],
      outputs: [newName('pixels_scaled')],
    });
    const moved = add({
      opType: 'Add',
      name: newName(PIXEL_SHIFT),
      inputs: [scaled, constantOf('pixel_offsets', [1, 3, 1, width], offsets)],
      outputs: [newName('pixels_moved')],
    });
    return add({
      opType: 'QuantizeLinear',
      name: newName('pixels/quantize'),
      inputs: [
        moved,
        constantOf('pixel_scale', [], Float32Array.of(1)),
        constantOf('pixel_zero_point', [], Uint8Array.of(0)),
      ],
      outputs: [output],
    });
  }
}

/** W where the graph takes [N, H, W, 3]; undefined where W is open or the channels come first. */
function widthOfChannelsLast(graph: OnnxGraph): number | undefined {
  const { inputs } = indexGraph(graph);
  const shapes = inferGraph({ ...graph, node: [] }).shapes;
  const [[, , width = NaN, channelCount] = []] = [...inputs].map((name) => shapes.get(name) ?? []);
  return channelCount === 3 && width > 0 ? width : undefined;
}

/**
 * What makes pixels of normalized values, p = 255 std · x + 255 mean, for rows of three channels
 * [3, 1, W], so that one with the channels last is multiplied and added to as a whole.
 */
export function pixelRows(
  { mean, std }: Normalization,
  width: number,
): { readonly factors: Float32Array; readonly offsets: Float32Array } {
  const row = (values: readonly number[]): Float32Array =>
    Float32Array.from(values.flatMap((value) => Array<number>(width).fill(255 * value)));
  return { factors: row(std), offsets: row(mean) };
}

/** Of a remainder; half is where rounding turns over, and float32 leaves a pixel within 1e-4 of a code. */
const LARGEST_UNSHIFTED = 0.48;

export interface PixelRounding {
  /** One a channel, as the next two. */
  readonly scales: Float32Array;
  readonly zeroPoints: Uint8Array;
  /** What is added to the normalized input first; null: nothing. */
  readonly shifts: Float32Array | null;
}

/**
 * How normalized values (p / 255 - mean) / std become the codes p: their steps are 1 / (255 std) and
 * zero lies at m = 255 mean, which is z and a remainder r for the nearest code z. round(p - m) + z is p
 * for |r| < 1/2.
 */
export function pixelRounding({ mean, std }: Normalization): PixelRounding {
  const zeroPoints = Uint8Array.from(mean, (value) =>
    Math.min(Math.max(Math.round(255 * value), 0), UINT8_MAX),
  );
  const remainders = mean.map((value, c) => 255 * value - zeroPoints[c]!); // one a channel
  const isSafe = remainders.every((remainder) => Math.abs(remainder) <= LARGEST_UNSHIFTED);
  return {
    scales: Float32Array.from(std, (value) => 1 / (255 * value)),
    zeroPoints,
    shifts: isSafe
      ? null
      : Float32Array.from(remainders, (remainder, c) => remainder / (255 * std[c]!)),
  };
}
