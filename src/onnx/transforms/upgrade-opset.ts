import {
  attributeOf,
  floatOf,
  integerOf,
  integersOf,
  removeAttributes,
  setInteger,
  stringOf,
} from '../attributes.ts';
import { int64Of, makeAttribute, makeNode, makeTensor, type TensorData } from '../build.ts';
import { opsetOf } from '../check.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { innerGraphs, isStandard, nameMaker, shownNode } from '../graph-edit.ts';
import { inferGraph } from '../shape-inference.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type OnnxNode } from '../model.ts';

/** The first opset in which QuantizeLinear and DequantizeLinear know an axis. */
const QDQ_OPSET = 13;

/** Operators that mean the same in every opset from 7 to 13 as classifiers use them. */
const UNCHANGED = new Set(
  (
    'Conv Relu LeakyRelu Sigmoid Tanh Elu Selu HardSigmoid Add Sub Mul Div Gemm MatMul MaxPool ' +
    'AveragePool GlobalAveragePool GlobalMaxPool Concat Flatten Reshape Transpose ' +
    'LRN Identity Constant ReduceMean Exp Sqrt Sum Max Min Shape Gather Cast ConstantOfShape Expand Range ' +
    'Abs Neg Reciprocal Pow PRelu InstanceNormalization Size Floor Ceil Erf Log Sin Cos Sign Round Softplus ' +
    'Equal Greater Less And Or Not Where Mod Tile CumSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ' +
    'SpaceToDepth DepthToSpace LpNormalization Softsign ThresholdedRelu ConvTranspose Einsum Mean ArgMax ' +
    'ArgMin OneHot GatherND GatherElements ScatterND ScatterElements NonZero Celu Xor Tan Asin Acos Atan Sinh ' +
    'Cosh Asinh Acosh Atanh ReduceSumSquare ReduceLogSum ReduceLogSumExp GreaterOrEqual LessOrEqual IsNaN ' +
    'IsInf LSTM GRU RNN MaxUnpool GlobalLpPool LpPool EyeLike Compress MeanVarianceNormalization If Loop'
  ).split(' '),
);

/**
 * Raises a model of opset 7 to 12 to opset 13, in place; newer ones stay as they are.
 * @throws OnnxError `onnx/cannot-upgrade` naming the node that changed its meaning
 */
export function upgradeOpset(model: OnnxModel): void {
  if (opsetOf(model) >= QDQ_OPSET) return;
  const graph = graphOf(model);
  upgradeGraph(graph, { graph, opset: opsetOf(model), newName: nameMaker(graph) });
  for (const entry of model.opsetImport) {
    if (entry.domain === '' || entry.domain === 'ai.onnx') entry.version = BigInt(QDQ_OPSET);
  }
  // IR versions up to 3 list initializers as inputs too; opset 13 came with IR version 7.
  if (model.irVersion < 7n) model.irVersion = 7n;
}

interface Upgrade {
  /** The model's own graph, which gets all new constants: branches may read them. */
  readonly graph: OnnxGraph;
  /** What the model has. */
  readonly opset: number;
  readonly newName: (wanted: string) => string;
}

/** The nodes of the model's graph, or of a branch or loop body in it; other domains have versions of their own. */
function upgradeGraph(owner: OnnxGraph, upgrade: Upgrade): void {
  owner.node = owner.node.flatMap((node) => {
    for (const inner of innerGraphs(node)) upgradeGraph(inner, upgrade);
    if (!isStandard(node)) return [node];
    if (OVER_AXES.has(node.opType)) return overFlatAxes(node, owner, upgrade);
    upgradeNode(node, owner, upgrade);
    return [node];
  });
}

const OVER_AXES = new Set(['Softmax', 'LogSoftmax', 'Hardmax']);

/**
 * Up to opset 12 such an operator took all axes from its own on as one, 1 where none was given; from 13 on
 * it takes that axis alone, which is the same where only ones follow.
 */
function overFlatAxes(node: OnnxNode, owner: OnnxGraph, { newName }: Upgrade): OnnxNode[] {
  const [input = ''] = node.input;
  const [output = ''] = node.output;
  const axis = integerOf(node, 'axis', 1);
  const shape = inferGraph(owner).shapes.get(input) ?? declaredShape(output, owner);
  if (axis === -1 || (shape !== undefined && isAloneFrom(axis, shape))) {
    setInteger(node, 'axis', axis);
    return [node];
  }
  const [sizes, flat, result] = ['sizes', 'flat', 'result'].map((what) =>
    newName(`${output}_${what}`),
  ) as [string, string, string];
  const made = (opType: string, inputs: readonly string[], outputs: readonly string[]) =>
    makeNode({ opType, name: newName(`${output}/${opType.toLowerCase()}`), inputs, outputs });
  const flatten = made('Flatten', [input], [flat]);
  setInteger(flatten, 'axis', axis);
  node.input = [flat];
  node.output = [result];
  setInteger(node, 'axis', 1);
  return [
    ...[made('Shape', [input], [sizes]), flatten, node],
    made('Reshape', [result, sizes], [output]),
  ];
}

/** As many open sizes as the graph says that one of its outputs has. */
function declaredShape(output: string, { output: outputs }: OnnxGraph): number[] | undefined {
  const type = outputs.find(({ name }) => name === output)?.type?.value;
  return type?.case === 'tensorType' ? type.value.shape?.dim.map(() => NaN) : undefined;
}

function upgradeNode(node: OnnxNode, owner: OnnxGraph, { graph, opset, newName }: Upgrade): void {
  const [output = ''] = node.output;
  const constant = (name: string, dims: readonly number[], data: TensorData): string => {
    const wanted = newName(`${output}_${name}`);
    graph.initializer.push(makeTensor(wanted, dims, data));
    return wanted;
  };
  const integers = (name: string, values: readonly number[]): string =>
    constant(name, [values.length], BigInt64Array.from(values, int64Of));
  switch (node.opType) {
    case 'Clip':
      // Bounds became inputs in opset 11.
      if (node.input.length > 1) return;
      node.input.push(
        constant('min', [], Float32Array.of(floatOf(node, 'min', -3.4028234663852886e38))),
        constant('max', [], Float32Array.of(floatOf(node, 'max', 3.4028234663852886e38))),
      );
      removeAttributes(node, 'min', 'max');
      return;
    case 'Squeeze':
    case 'Unsqueeze':
    case 'ReduceSum': {
      // Axes became an input in opset 13.
      const axes = integersOf(node, 'axes');
      if (axes !== undefined) node.input.push(integers('axes', axes));
      removeAttributes(node, 'axes');
      return;
    }
    case 'Split': {
      // Sizes became an input in opset 13.
      const sizes = integersOf(node, 'split');
      if (sizes !== undefined) node.input.push(integers('split', sizes));
      removeAttributes(node, 'split');
      return;
    }
    case 'Slice': {
      // Bounds became inputs in opset 10.
      const starts = integersOf(node, 'starts');
      const ends = integersOf(node, 'ends');
      if (starts === undefined || ends === undefined) return;
      const axes = integersOf(node, 'axes') ?? starts.map((_, i) => i);
      node.input.push(integers('starts', starts), integers('ends', ends), integers('axes', axes));
      removeAttributes(node, 'starts', 'ends', 'axes');
      return;
    }
    case 'Pad': {
      // Pads and value became inputs in opset 11.
      const pads = integersOf(node, 'pads');
      if (pads === undefined) return;
      const value = constant('value', [], Float32Array.of(floatOf(node, 'value', 0)));
      node.input.push(integers('pads', pads), value);
      removeAttributes(node, 'pads', 'value');
      return;
    }
    case 'Upsample':
      // Replaced by Resize in opset 10; both mean x_original = x_resized / scale.
      node.opType = 'Resize';
      upgradeResize(node, 'floor', constant);
      return;
    case 'Resize': {
      // From opset 11 on the region of interest comes before the scales.
      if (node.input.length !== 2) return;
      const nearestMode = nearestModeOf(node, [owner, graph]);
      if (nearestMode === undefined) break;
      upgradeResize(node, nearestMode, constant);
      return;
    }
    case 'TopK': {
      // Their number became an input in opset 10.
      const count = attributeOf(node, 'k')?.i;
      if (count !== undefined) node.input.push(integers('k', [Number(count)]));
      removeAttributes(node, 'k');
      return;
    }
    case 'Scatter':
      node.opType = 'ScatterElements'; // its name from opset 11 on
      return;
    case 'Scan':
      // Of opset 8 it was another operator, with a batch of its own.
      if (opset < 9) break;
      return;
    case 'Dropout':
      // The ratio became an input in opset 12; at inference it means nothing.
      node.attribute = [];
      node.input = node.input.slice(0, 1);
      return;
    case 'BatchNormalization':
      // Gone in opset 9; 0 normalizes each place of the image by itself.
      if (integerOf(node, 'spatial', 1) !== 1) break;
      removeAttributes(node, 'spatial');
      return;
    default:
      if (UNCHANGED.has(node.opType)) return;
  }
  throw new OnnxError({
    code: 'onnx/cannot-upgrade',
    message: `node "${shownNode(node)}" (${node.opType}) cannot be carried over to opset 13, which int8 needs`,
    hint: 'export the model again with opset 13 or higher',
  });
}

/**
 * How onnxruntime rounds in a nearest Resize of opset 10: down along an axis that grows, up along one
 * that shrinks (its `ResizeNearestMode::SIMPLE`). Undefined: both in one node, which no later opset has,
 * or scales that are computed. They are looked for in the graphs in turn.
 */
function nearestModeOf(
  resize: OnnxNode,
  graphs: readonly OnnxGraph[],
): 'floor' | 'ceil' | undefined {
  if (stringOf(resize, 'mode', 'nearest') !== 'nearest') return 'floor'; // says nothing
  const [, name = ''] = resize.input;
  const known = graphs
    .map((graph) => inferGraph(graph).valueOf(name))
    .find((value) => value !== undefined);
  if (known === undefined) return undefined;
  const scales = [...known.data];
  if (!scales.some((scale) => scale < 1)) return 'floor';
  return scales.some((scale) => scale > 1) ? undefined : 'ceil';
}

function upgradeResize(
  node: OnnxNode,
  nearestMode: 'floor' | 'ceil',
  constant: (name: string, dims: readonly number[], data: TensorData) => string,
): void {
  const [input = '', scales = ''] = node.input;
  const given = attributeOf(node, 'scales')?.floats; // Upsample of opset 7
  const scalesName =
    given === undefined ? scales : constant('scales', [given.length], Float32Array.from(given));
  const isNearest = stringOf(node, 'mode', 'nearest') === 'nearest';
  node.input = [input, '', scalesName];
  removeAttributes(node, 'scales');
  node.attribute.push(
    makeAttribute('coordinate_transformation_mode', 'asymmetric'),
    ...(isNearest ? [makeAttribute('nearest_mode', nearestMode)] : []),
  );
}

/** Whether only ones follow this axis. */
function isAloneFrom(axis: number, shape: readonly number[]): boolean {
  const at = axis < 0 ? axis + shape.length : axis;
  return at < shape.length && shape.slice(at + 1).every((dim) => dim === 1);
}
