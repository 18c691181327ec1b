import {
  attributeOf,
  floatOf,
  integerOf,
  integersOf,
  removeAttributes,
  setInteger,
  stringOf,
} from '../attributes.ts';
import { int64Of, makeAttribute, makeTensor, type TensorData } from '../build.ts';
import { opsetOf } from '../check.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { innerGraphs, nameMaker, shownNode } from '../graph-edit.ts';
import { inferGraph } from '../shape-inference.ts';
import { isFloatTensor, readFloats } from '../tensor-data.ts';
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
    'IsInf LSTM GRU RNN MaxUnpool GlobalLpPool LpPool EyeLike Compress If Loop Scan'
  ).split(' '),
);

/**
 * Raises a model of opset 7 to 12 to opset 13, in place; newer ones stay as they are.
 * @throws OnnxError `onnx/cannot-upgrade` naming the node that changed its meaning
 */
export function upgradeOpset(model: OnnxModel): void {
  if (opsetOf(model) >= QDQ_OPSET) return;
  const graph = graphOf(model);
  const newName = nameMaker(graph);
  const upgrade = (node: OnnxNode): void => {
    upgradeNode(node, graph, newName);
    for (const inner of innerGraphs(node)) inner.node.forEach(upgrade);
  };
  graph.node.forEach(upgrade);
  for (const entry of model.opsetImport) {
    if (entry.domain === '' || entry.domain === 'ai.onnx') entry.version = BigInt(QDQ_OPSET);
  }
  // IR versions up to 3 list initializers as inputs too; opset 13 came with IR version 7.
  if (model.irVersion < 7n) model.irVersion = 7n;
}

function upgradeNode(node: OnnxNode, graph: OnnxGraph, newName: (wanted: string) => string): void {
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
      const nearestMode = nearestModeOf(node, graph);
      if (nearestMode === undefined) break;
      upgradeResize(node, nearestMode, constant);
      return;
    }
    case 'TopK':
      // Their number became an input in opset 10.
      if (node.input.length === 2) return;
      break;
    case 'Dropout':
      // The ratio became an input in opset 12; at inference it means nothing.
      node.attribute = [];
      node.input = node.input.slice(0, 1);
      return;
    case 'Softmax':
    case 'LogSoftmax':
      // Up to opset 12 all axes from this one on were one, 1 where none was given.
      if (
        !isAloneFrom(integerOf(node, 'axis', 1), inferGraph(graph).shapes.get(node.input[0] ?? ''))
      )
        break;
      setInteger(node, 'axis', integerOf(node, 'axis', 1));
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
 * that shrinks (its `ResizeNearestMode::SIMPLE`). Undefined: both in one node, which no later opset has.
 */
function nearestModeOf(resize: OnnxNode, graph: OnnxGraph): 'floor' | 'ceil' | undefined {
  const tensor = graph.initializer.find(({ name }) => name === resize.input[1]);
  const scales = tensor !== undefined && isFloatTensor(tensor) ? [...readFloats(tensor)] : [];
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

/** Whether only ones follow this axis; where the rank is unknown that of [N, C] is taken. */
function isAloneFrom(axis: number, shape: readonly number[] = [NaN, NaN]): boolean {
  const at = axis < 0 ? axis + shape.length : axis;
  return at < shape.length && shape.slice(at + 1).every((dim) => dim === 1);
}
