import {
  indexGraph,
  nameMaker,
  shownNode,
  soleConsumer,
  type GraphIndex,
} from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import type { FloatNode } from './mark-graph.ts';
import { addNeutralMax } from './neutral-max.ts';

/** What onnxruntime quantizes of its own accord. */
const LAYERS = new Set(['Conv', 'ConvTranspose', 'Gemm']);
/** What it computes on codes wherever these stand before and behind. */
const FUSED = new Set([
  ...['AveragePool', 'GlobalAveragePool', 'Add', 'Mul', 'Concat', 'Sigmoid'],
  ...['LeakyRelu', 'Softmax'],
]);
/**
 * What it moves a QuantizeLinear up through, and a DequantizeLinear down (1.30, `QDQPropagation` in
 * core/optimizer/qdq_transformer), so that it stands beside the layer.
 */
const MOVED_THROUGH = new Set(['MaxPool', 'Reshape', 'Slice', 'Squeeze', 'Transpose', 'Unsqueeze']);

/** Ends the names of the nodes put in here; reports give the reason for them. */
export const SHIELD_SUFFIX = '/keep-float';

/**
 * Keeps layers that shall stay float in float. Between a DequantizeLinear and a QuantizeLinear, with
 * at most Relu or Clip and what those two are moved through in between, onnxruntime quantizes their
 * weights to int8 itself, with one scale for the whole tensor (1.30, `WeightBiasQuantization` in the
 * same folder): on a MobileNetV2 whose first depthwise layer was left in float the logits' SQNR is 4 dB
 * so, and 20 dB without. A Max with the least float32 before the QuantizeLinear changes no value, and
 * the pattern is not met; layer and activation fuse as before. Behind a pool it has the fewest values to
 * read. So are the operators without weights among `floatNodes` kept, which it would compute on codes.
 */
export function shieldFloatLayers(graph: OnnxGraph, floatNodes: readonly FloatNode[]): void {
  const names = new Set(floatNodes.map(({ node }) => node));
  const newName = nameMaker(graph);
  const index = indexGraph(graph);
  for (const layer of [...graph.node]) {
    const isLayer = LAYERS.has(layer.opType) && isInitializerFed(layer, index);
    if (!isLayer && !(FUSED.has(layer.opType) && names.has(shownNode(layer)))) continue;
    if (!isDequantized(layer, index)) continue;
    const quantize = quantizeAfter(layer, index);
    if (quantize === undefined) continue;
    quantize.input[0] = addNeutralMax(graph, newName, quantize.input[0] ?? '', SHIELD_SUFFIX);
  }
}

/** Weights behind a DequantizeLinear are quantized already; computed ones are left alone. */
function isInitializerFed(layer: OnnxNode, { initializers }: GraphIndex): boolean {
  return initializers.has(layer.input[1] ?? '');
}

function isDequantized(layer: OnnxNode, { producers }: GraphIndex): boolean {
  let before = producers.get(layer.input[0] ?? '');
  while (before !== undefined && MOVED_THROUGH.has(before.opType)) {
    before = producers.get(before.input[0] ?? '');
  }
  return before?.opType === 'DequantizeLinear';
}

function quantizeAfter(layer: OnnxNode, index: GraphIndex): OnnxNode | undefined {
  let next = soleConsumer(index, layer.output[0] ?? '');
  while (next?.opType === 'Relu' || next?.opType === 'Clip') {
    next = soleConsumer(index, next.output[0] ?? '');
  }
  while (next !== undefined && MOVED_THROUGH.has(next.opType)) {
    next = soleConsumer(index, next.output[0] ?? '');
  }
  return next?.opType === 'QuantizeLinear' ? next : undefined;
}
