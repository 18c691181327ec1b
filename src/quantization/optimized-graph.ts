import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { integerOf } from '../onnx/attributes.ts';
import { countOperators } from '../onnx/describe-model.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { indexGraph, shownNode } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import { readOnnx } from '../onnx/reader.ts';
import { typeName } from '../onnx/tensor-data.ts';
import { findGelus } from '../onnx/transforms/find-gelus.ts';
import { writeOnnx } from '../onnx/writer.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import type { FloatNode } from './mark-graph.ts';
import { PIXEL_SCALING, PIXEL_SHIFT, PIXELS_TO_FLOAT } from './pixel-head.ts';
import { SHIELD_SUFFIX } from './shield-float-layers.ts';
import { GELU_SUFFIX } from './shield-gelus.ts';
import { RESIZE_SUFFIX } from './shield-resizes.ts';

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
  const model = await optimize(modelPath, folder);
  const inFloat = nodesInFloat(graphOf(model));
  const isRenamed = ({ opType, name }: OnnxNode): boolean =>
    name === '' || BLOCKED.test(name) || opType === 'Gelu';
  const floatNodes = inFloat.some(isRenamed)
    ? inOneRow(...(await withOriginals(inFloat, modelPath, folder)), planned)
    : inOneRow(inFloat, NO_ORIGINALS, planned);
  return { operators: countOperators(model), floatNodes };
}

async function optimize(modelPath: string, folder: string): Promise<OnnxModel> {
  const optimizedModelPath = join(folder, 'optimized.onnx');
  const session = await openOnnxSession(modelPath, { threadCount: 1, optimizedModelPath });
  await session.release();
  const model = await readOnnx(optimizedModelPath);
  await rm(optimizedModelPath);
  return model;
}

/**
 * The nodes in float and the model that they are of. A node without a name cannot be told from what
 * onnxruntime puts in or takes one apart into: outputs are called anew where a Transpose is moved
 * across. Where there are both, the model is optimised once more under names, which change nothing else.
 */
async function withOriginals(
  inFloat: readonly OnnxNode[],
  modelPath: string,
  folder: string,
): Promise<[readonly OnnxNode[], Originals]> {
  const model = await readOnnx(modelPath);
  const graph = graphOf(model);
  const originals = originalsOf(graph);
  const nameless = graph.node.filter(({ name }) => name === '');
  if (!inFloat.some(({ name }) => name === '') || nameless.length === 0)
    return [inFloat, originals];
  for (const node of nameless) node.name = shownNode(node);
  const namedPath = join(folder, 'named.onnx');
  await writeOnnx(namedPath, model);
  try {
    return [nodesInFloat(graphOf(await optimize(namedPath, folder))), originals];
  } finally {
    await rm(namedPath, { force: true });
  }
}

/** The nodes of the model that was given, for those that onnxruntime gives other names. */
interface Originals {
  readonly producers: ReadonlyMap<string, OnnxNode>;
  /** The last node of each GELU, by the tensor that it reads. */
  readonly gelus: ReadonlyMap<string, OnnxNode>;
}

function originalsOf(graph: OnnxGraph): Originals {
  const { producers } = indexGraph(graph);
  const gelus = findGelus(graph).flatMap(({ input, last }) => {
    // Where onnxruntime lays values out anew it calls them as the node that makes them.
    const producer = producers.get(input);
    const names = producer === undefined ? [input] : [input, producer.name];
    return names.map((name) => [name, last] as const);
  });
  return { producers, gelus: new Map(gelus) };
}

const NO_ORIGINALS: Originals = { producers: new Map(), gelus: new Map() };

/** A float node a row, under the names of the model that was given. */
function inOneRow(
  inFloat: readonly OnnxNode[],
  originals: Originals,
  planned: readonly FloatNode[],
): FloatNode[] {
  const reasons = new Map(planned.map(({ node, reason }) => [node, reason]));
  const rows = new Map<string, FloatNode>();
  const expanded = new Set<string>();
  const blocked = new Set(
    inFloat.flatMap(({ name }) => (BLOCKED.test(name) ? [name.replace(BLOCKED, '')] : [])),
  );
  for (const node of inFloat) {
    const [, operatorName, token] = PIECE.exec(node.output[0] ?? '') ?? [];
    const part = operatorName ?? token;
    if (node.name === '' && part !== undefined) {
      for (const operator of part === 'token' ? NAMELESS : [part]) expanded.add(operator);
      continue;
    }
    // Of an operator that was taken apart the last piece makes its output.
    const whole = node.name === '' ? originals.producers.get(node.output[0] ?? '') : undefined;
    const known = BLOCKED.test(node.name)
      ? fusedInto(node, blocked, originals)
      : originalName(node, originals, reasons);
    const shown = known ?? shownNode(whole ?? node);
    const reason = reasons.get(shown) ?? reasonOf(node);
    rows.set(shown, { node: shown, operator: (whole ?? node).opType, reason });
  }
  for (const float of planned) if (expanded.has(float.operator)) rows.set(float.node, float);
  return [...rows.values()];
}

/** What onnxruntime calls values inside an operator that it has no kernel for and takes apart. */
const PIECE = /^_(?:inlfunc_([A-Za-z]+)_|(token)_\d+$)/;
/** Those whose pieces do not bear their name. */
const NAMELESS = ['HardSwish', 'Celu', 'Mish', 'Softplus', 'Gelu'];

/** How onnxruntime names what it gave its own blocked layout: after its output. */
const BLOCKED = /_nchwc(?:_token_\d+)?$/;

/** How it names a layer that took in an activation, and one that took in a Transpose. */
const FUSED = /^(?:fused (.+)|(.+)\/MatmulTransposeFusion\/)$/;

/** The planned node that a layer with an activation or a Transpose is named after; of a GELU the last. */
function originalName(
  { opType, name, input }: OnnxNode,
  { gelus }: Originals,
  reasons: ReadonlyMap<string, string>,
): string | undefined {
  const last = opType === 'Gelu' ? gelus.get(input[0] ?? '') : undefined;
  if (last !== undefined) return shownNode(last);
  const [, inFront, behind] = FUSED.exec(name) ?? [];
  const fused = inFront ?? behind;
  return fused !== undefined && reasons.has(fused) ? fused : undefined;
}

/** A sum and an activation. */
const MOST_FUSED = 2;

/**
 * The node that became such a one, which is named after its output or that of what was fused to it: of
 * the same kind, and none that has a name of its own in `blocked`, as the other operand of a sum may.
 */
function fusedInto(
  { opType, name }: OnnxNode,
  blocked: ReadonlySet<string>,
  { producers }: Originals,
): string | undefined {
  const last = producers.get(name.replace(BLOCKED, ''));
  if (last === undefined) return undefined;
  const kind = opType === 'Upsample' ? 'Resize' : opType;
  let nodes = [last];
  for (let depth = 0; depth <= MOST_FUSED; depth += 1) {
    const found = nodes.find(
      (node) => node.opType === kind && (node === last || !blocked.has(node.output[0] ?? '')),
    );
    if (found !== undefined) return shownNode(found);
    nodes = nodes.flatMap(({ input }) => input.flatMap((tensor) => producers.get(tensor) ?? []));
  }
  return shownNode(last);
}

function reasonOf(node: OnnxNode): string {
  if (node.opType.startsWith('Reorder')) return 'changes the layout of values for a float layer';
  if (node.name.endsWith(SHIELD_SUFFIX))
    return 'keeps onnxruntime from quantizing the float layer before it';
  if (node.name.endsWith(GELU_SUFFIX))
    return 'hands its input to both ends of a GELU, so that onnxruntime runs that as one operator';
  if (node.name.endsWith(RESIZE_SUFFIX))
    return 'keeps channels first for a Resize that onnxruntime could not run with channels last';
  if (node.name === PIXELS_TO_FLOAT) return 'makes pixels float for a first layer that stays float';
  if (node.name === PIXEL_SCALING) return 'scales the input to the values of pixels';
  return node.name === PIXEL_SHIFT
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
  'Gather',
  'ReduceMax',
  'ReduceMin',
  'Expand',
  'Tile',
  'DepthToSpace',
  'SpaceToDepth',
]);

/** Nodes that compute on float32 and are not at the border between float and integers. */
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
    } else if (isOnIntegers(node, integers) || (PASSING.has(node.opType) && integers.has(input))) {
      for (const name of node.output) integers.add(name);
    } else if (!MULTIPLYING.has(node.opType)) {
      inFloat.push(node);
    }
  }
  return inFloat;
}

/** Shapes, and arithmetic on them. */
function isOnIntegers(node: OnnxNode, integers: ReadonlySet<string>): boolean {
  if (node.opType === 'Shape' || node.opType === 'Size') return true;
  if (node.opType === 'Cast') return INTEGER_TYPES.has(integerOf(node, 'to', 0));
  if (node.opType === 'ConstantOfShape') return false; // its values may be of any type
  const given = node.input.filter((name) => name !== '');
  return given.length > 0 && given.every((name) => integers.has(name));
}

/** They multiply integers and write float32. */
const MULTIPLYING = new Set(['QGemm', 'MatMulIntegerToFloat']);

const INTEGER_TYPES: ReadonlySet<number> = new Set([DataType.INT32, DataType.INT64]);

/** QLinear operators and QGemm with an output scale (its eighth input) write integers. */
function hasIntegerOutput(node: OnnxNode): boolean {
  if (node.opType === 'QGemm') return (node.input[7] ?? '') !== '';
  return node.opType.startsWith('QLinear');
}
