import { OnnxError } from '../diagnostics/errors.ts';
import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import { shownNode } from './graph-edit.ts';
import { graphOf, type Initializer, type OnnxGraph, type OnnxModel } from './model.ts';

const HALF_TYPES: ReadonlySet<number> = new Set([DataType.FLOAT16, DataType.BFLOAT16]);
/** What may read weights of another type: the network computes in float32 all the same. */
const CONVERTING = new Set(['Cast', 'CastLike', 'DequantizeLinear']);

/** Verifies that no node computes with weights of 16 bits. @throws OnnxError `onnx/float16` */
export function requireFloat32Weights(model: OnnxModel, shownName: string): void {
  const graph = graphOf(model);
  const halves = new Map(
    graph.initializer
      .filter(({ dataType }) => HALF_TYPES.has(dataType))
      .map((tensor) => [tensor.name, tensor]),
  );
  if (halves.size === 0) return;
  for (const node of graph.node) {
    if (CONVERTING.has(node.opType)) continue;
    const weight = node.input
      .map((name) => halves.get(name))
      .find((tensor) => tensor !== undefined);
    if (weight === undefined) continue;
    throw new OnnxError({
      code: 'onnx/float16',
      message: `${shownName}: node "${shownNode(node)}" (${node.opType}) has ${DataType[weight.dataType]?.toLowerCase() ?? '16-bit'} weights ("${weight.name}"), expected a float32 model`,
      hint: 'export the model in float32, before it is converted to 16 bits',
    });
  }
}

/** What computes in integers or makes them; weights may come from integers by a DequantizeLinear. */
const QUANTIZED =
  /^(QuantizeLinear|DynamicQuantizeLinear|QLinear\w+|QGemm|ConvInteger|MatMulInteger)$/;

/** Verifies that the model was not quantized before. @throws OnnxError `onnx/quantized` */
export function requireFloatModel(model: OnnxModel, shownName: string): void {
  const node = graphOf(model).node.find(({ opType }) => QUANTIZED.test(opType));
  if (node === undefined) return;
  throw new OnnxError({
    code: 'onnx/quantized',
    message: `${shownName} is quantized already: node "${shownNode(node)}" is a ${node.opType}; expected a float32 model`,
    hint: 'give the float32 model that it was made from',
  });
}

/**
 * Verifies that the bias of every convolution has one value an output channel; onnxruntime finds out
 * only when the node runs.
 * @throws OnnxError `onnx/bad-bias`
 */
export function checkBiases(graph: OnnxGraph, shownName: string): void {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const dimsOf = (name = ''): Initializer['dims'] | undefined => initializers.get(name)?.dims;
  for (const node of graph.node) {
    if (node.opType !== 'Conv') continue;
    const [channels] = dimsOf(node.input[1]) ?? [];
    const bias = dimsOf(node.input[2]);
    if (channels === undefined || bias === undefined) continue;
    if (bias.length === 1 && bias[0] === channels) continue;
    throw new OnnxError({
      code: 'onnx/bad-bias',
      message: `${shownName}: node "${shownNode(node)}" (Conv) has a bias of shape [${bias.join(', ')}] ("${node.input[2] ?? ''}"), expected [${channels}], one value an output channel`,
      hint: 'export the model again; the bias belongs to another layer, or was cut off',
    });
  }
}
