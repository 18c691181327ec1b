import { attributeOf, floatOf, integersOf } from '../attributes.ts';
import { makeTensor } from '../build.ts';
import { opsetOf } from '../check.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { nameMaker, shownNode } from '../graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type OnnxNode } from '../model.ts';

/** The first opset in which QuantizeLinear and DequantizeLinear know an axis. */
const QDQ_OPSET = 13;

/** Operators that mean the same in every opset from 7 to 13 as classifiers use them. */
const UNCHANGED = new Set(
  (
    'Conv Relu LeakyRelu Sigmoid Tanh Elu Selu HardSigmoid Add Sub Mul Div Gemm MatMul MaxPool ' +
    'AveragePool GlobalAveragePool GlobalMaxPool Concat Flatten Reshape Transpose ' +
    'LRN Identity Constant ReduceMean Exp Sqrt'
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
  for (const node of graph.node) upgradeNode(node, graph, newName);
  for (const entry of model.opsetImport) {
    if (entry.domain === '' || entry.domain === 'ai.onnx') entry.version = BigInt(QDQ_OPSET);
  }
  // IR versions up to 3 list initializers as inputs too; opset 13 came with IR version 7.
  if (model.irVersion < 7n) model.irVersion = 7n;
}

function upgradeNode(node: OnnxNode, graph: OnnxGraph, newName: (wanted: string) => string): void {
  const [output = ''] = node.output;
  const addInput = (name: string, data: Float32Array | BigInt64Array): void => {
    const wanted = newName(`${output}_${name}`);
    graph.initializer.push(makeTensor(wanted, name === 'axes' ? [data.length] : [], data));
    node.input.push(wanted);
    node.attribute = node.attribute.filter((attribute) => attribute.name !== name);
  };
  switch (node.opType) {
    case 'Clip':
      // Bounds became inputs in opset 11.
      if (node.input.length > 1) return;
      addInput('min', Float32Array.of(floatOf(node, 'min', -3.4028234663852886e38)));
      addInput('max', Float32Array.of(floatOf(node, 'max', 3.4028234663852886e38)));
      return;
    case 'Squeeze':
    case 'Unsqueeze': {
      // Axes became an input in opset 13.
      const axes = integersOf(node, 'axes');
      if (axes !== undefined) addInput('axes', BigInt64Array.from(axes, BigInt));
      return;
    }
    case 'Dropout':
      // The ratio became an input in opset 12; at inference it means nothing.
      node.attribute = [];
      return;
    case 'Softmax':
      // The default axis went from 1 to -1; on [N, C] both are the same.
      if (attributeOf(node, 'axis') === undefined) return;
      if (Number(attributeOf(node, 'axis')?.i) === 1) return;
      break;
    case 'BatchNormalization':
      node.attribute = node.attribute.filter(({ name }) => name !== 'spatial'); // gone in opset 9
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
