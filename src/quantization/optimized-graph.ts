import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { countOperators } from '../onnx/describe-model.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { shownNode } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxNode } from '../onnx/model.ts';
import { readOnnx } from '../onnx/reader.ts';
import { typeName } from '../onnx/tensor-data.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import type { FloatNode } from './mark-graph.ts';
import { PIXEL_SHIFT } from './pixel-head.ts';
import { SHIELD_SUFFIX } from './shield-float-layers.ts';

export interface OptimizedGraph {
  /** Operator → count in the graph as onnxruntime runs it. */
  readonly operators: Readonly<Record<string, number>>;
  /** Operators that compute on float32; QuantizeLinear and DequantizeLinear are not among them. */
  readonly floatNodes: readonly FloatNode[];
}

/**
 * What onnxruntime makes of a quantized model: the optimised graph is saved into `folder` and read
 * back. `planned` gives the reasons of nodes that were left in float on purpose.
 */
export async function readOptimizedGraph(
  modelPath: string,
  folder: string,
  planned: readonly FloatNode[],
): Promise<OptimizedGraph> {
  const optimizedModelPath = join(folder, 'optimized.onnx');
  const session = await openOnnxSession(modelPath, { threadCount: 1, optimizedModelPath });
  await session.release();
  const model = await readOnnx(optimizedModelPath);
  await rm(optimizedModelPath);
  const reasons = new Map(planned.map(({ node, reason }) => [node, reason]));
  const floatNodes = nodesInFloat(graphOf(model)).map((node) => ({
    node: shownNode(node),
    operator: node.opType,
    reason: reasons.get(shownNode(node)) ?? reasonOf(shownNode(node)),
  }));
  return { operators: countOperators(model), floatNodes };
}

function reasonOf(node: string): string {
  if (node.endsWith(SHIELD_SUFFIX))
    return 'keeps onnxruntime from quantizing the float layer before it';
  return node === PIXEL_SHIFT
    ? 'shifts the input by part of a pixel value to where rounding gives just the pixels'
    : 'onnxruntime did not fuse it into an integer operator';
}

/** Operators that hand their first input's type on. */
const PASSING = new Set([
  'MaxPool',
  'NhwcMaxPool',
  'Reshape',
  'Flatten',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Slice',
  'Pad',
  'Resize',
  'Clip',
  'Concat',
  'Split',
]);

/** Nodes that read float32 and are not at the border between float and integers. */
function nodesInFloat(graph: OnnxGraph): OnnxNode[] {
  const integers = new Set(
    graph.initializer
      .filter((tensor) => ['UINT8', 'INT8', 'INT32', 'INT64'].includes(typeName(tensor)))
      .map(({ name }) => name),
  );
  for (const { name, type } of graph.input) {
    const pixelType: number = DataType.UINT8;
    if (type?.value.case !== 'tensorType') continue;
    if (type.value.value.elemType === pixelType) integers.add(name);
  }
  const inFloat: OnnxNode[] = [];
  for (const node of graph.node) {
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    if (node.opType === 'DequantizeLinear') continue;
    if (node.opType === 'QuantizeLinear' || hasIntegerOutput(node)) {
      integers.add(output);
    } else if (PASSING.has(node.opType) && integers.has(input)) {
      for (const name of node.output) integers.add(name);
    } else if (node.opType !== 'QGemm') {
      inFloat.push(node);
    }
  }
  return inFloat;
}

/** QLinear operators and QGemm with an output scale (its eighth input) write integers. */
function hasIntegerOutput(node: OnnxNode): boolean {
  if (node.opType === 'QGemm') return (node.input[7] ?? '') !== '';
  return node.opType.startsWith('QLinear');
}
