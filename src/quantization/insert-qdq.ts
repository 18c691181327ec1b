import { makeNode, makeTensor, type TensorData } from '../onnx/build.ts';
import {
  nameMaker,
  pruneInitializers,
  pruneNodes,
  replaceUses,
  sortNodes,
} from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxModel } from '../onnx/model.ts';
import { dimsOf, readFloats } from '../onnx/tensor-data.ts';
import { computeOnCodes } from './compute-on-codes.ts';
import { quantizeLinear } from './linear.ts';
import type { ActivationParameters } from './parameters.ts';
import type { QuantizationPlan, QuantizedConstant, QuantizedLayer } from './quantization-plan.ts';
import { shieldFloatLayers } from './shield-float-layers.ts';
import { shieldGelus } from './shield-gelus.ts';
import { quantizeBias } from './weights.ts';

/** What the bias of each layer is raised by, by the layer's output tensor. */
export type BiasCorrections = ReadonlyMap<string, Float64Array>;

/**
 * Carries out `plan` on `model`, in place: QuantizeLinear and DequantizeLinear after every planned
 * tensor, int8 weights and int32 biases behind DequantizeLinear. The plan's nodes must be this
 * model's own. Graph outputs keep their names and stay float32.
 */
export function insertQdq(
  model: OnnxModel,
  plan: QuantizationPlan<QuantizedLayer>,
  corrections: BiasCorrections = new Map(),
): void {
  const graph = graphOf(model);
  const edit = { graph, newName: nameMaker(graph) };
  for (const layer of plan.layers) {
    quantizeLayer(edit, layer, plan, corrections.get(layer.outputTensor));
  }
  for (const [name, constant] of plan.constants) quantizeConstant(edit, name, constant);
  for (const [tensor, parameters] of plan.activations) insertPair(edit, tensor, parameters);
  computeOnCodes(graph, (tensor) => plan.activations.get(tensor));
  shieldFloatLayers(graph, plan.floatNodes);
  shieldGelus(graph);
  sortNodes(graph);
  pruneNodes(graph);
  pruneInitializers(graph);
}

interface GraphEdit {
  readonly graph: OnnxGraph;
  readonly newName: (wanted: string) => string;
}

function addTensor(
  { graph, newName }: GraphEdit,
  wanted: string,
  dims: readonly number[],
  data: TensorData,
): string {
  const name = newName(wanted);
  graph.initializer.push(makeTensor(name, dims, data));
  return name;
}

function insertPair(edit: GraphEdit, tensor: string, parameters: ActivationParameters): void {
  const { graph, newName } = edit;
  const scale = addTensor(edit, `${tensor}_scale`, [], Float32Array.of(parameters.scale));
  const zeroPoint = addTensor(
    edit,
    `${tensor}_zero_point`,
    [],
    Uint8Array.of(parameters.zeroPoint),
  );
  // What is the model's input as well stays what it is, and only its readers see codes.
  const isOutput =
    graph.output.some((output) => output.name === tensor) &&
    !graph.input.some((input) => input.name === tensor);
  let source = tensor;
  let dequantized = newName(`${tensor}_dequantized`);
  if (isOutput) {
    // The name belongs to the graph's output, so what made the tensor gets another one.
    source = dequantized;
    dequantized = tensor;
    for (const node of graph.node) {
      node.output = node.output.map((name) => (name === tensor ? source : name));
    }
  } else {
    replaceUses(graph, tensor, dequantized);
  }
  const quantized = newName(`${tensor}_quantized`);
  graph.node.push(
    makeNode({
      opType: 'QuantizeLinear',
      name: newName(`${tensor}/quantize`),
      inputs: [source, scale, zeroPoint],
      outputs: [quantized],
    }),
    makeNode({
      opType: 'DequantizeLinear',
      name: newName(`${tensor}/dequantize`),
      inputs: [quantized, scale, zeroPoint],
      outputs: [dequantized],
    }),
  );
}

/** For those that run in integers: a Clip or a Pad may read the same constant as it is. */
function quantizeConstant(
  edit: GraphEdit,
  name: string,
  { parameters, readers }: QuantizedConstant,
): void {
  const { graph, newName } = edit;
  const tensor = graph.initializer.find((initializer) => initializer.name === name);
  if (tensor === undefined) return; // planned from this graph's initializers
  const codes = addTensor(
    edit,
    `${name}_quantized`,
    dimsOf(tensor),
    quantizeLinear(readFloats(tensor), parameters),
  );
  const scale = addTensor(edit, `${name}_scale`, [], Float32Array.of(parameters.scale));
  const zeroPoint = addTensor(edit, `${name}_zero_point`, [], Uint8Array.of(parameters.zeroPoint));
  const dequantized = newName(`${name}_dequantized`);
  for (const reader of readers)
    reader.input = reader.input.map((input) => (input === name ? dequantized : input));
  graph.node.push(
    makeNode({
      opType: 'DequantizeLinear',
      name: newName(`${name}/dequantize`),
      inputs: [codes, scale, zeroPoint],
      outputs: [dequantized],
    }),
  );
}

function quantizeLayer(
  edit: GraphEdit,
  layer: QuantizedLayer,
  plan: QuantizationPlan<QuantizedLayer>,
  correction: Float64Array | undefined,
): void {
  const { graph, newName } = edit;
  const { node, weight, axis } = layer;
  const weightName = node.input[1] ?? '';
  const inputScale = plan.activations.get(layer.inputTensor)?.scale ?? 1; // planned for every layer
  const corrected = layer.bias.map((value, c) => value + (correction?.[c] ?? 0));
  const bias = quantizeBias(corrected, weight.scales, inputScale);
  const scaleDims = weight.scales.length === 1 ? [] : [weight.scales.length];

  const codes = addTensor(edit, `${weightName}_quantized`, layer.weightDims, weight.codes);
  const scale = addTensor(edit, `${weightName}_scale`, scaleDims, weight.scales);
  const zeroPoint = addTensor(
    edit,
    `${weightName}_zero_point`,
    scaleDims,
    new Int8Array(weight.scales.length),
  );
  const biasCodes = addTensor(
    edit,
    `${weightName}_bias_quantized`,
    [bias.codes.length],
    bias.codes,
  );
  const biasScale = addTensor(edit, `${weightName}_bias_scale`, scaleDims, bias.scales);
  const weightOutput = newName(`${weightName}_dequantized`);
  const biasOutput = newName(`${weightName}_bias_dequantized`);
  const axisOf = (value: number): Record<string, number> =>
    scaleDims.length === 0 ? {} : { axis: value };
  graph.node.push(
    makeNode({
      opType: 'DequantizeLinear',
      name: newName(`${weightName}/dequantize`),
      inputs: [codes, scale, zeroPoint],
      outputs: [weightOutput],
      attributes: axisOf(axis),
    }),
    makeNode({
      opType: 'DequantizeLinear',
      name: newName(`${weightName}_bias/dequantize`),
      inputs: [biasCodes, biasScale],
      outputs: [biasOutput],
      attributes: axisOf(0),
    }),
  );
  node.input = [node.input[0] ?? '', weightOutput, biasOutput];
}
