import { makeNode, makeTensor, type TensorData } from '../onnx/build.ts';
import {
  nameMaker,
  pruneInitializers,
  pruneNodes,
  renameUses,
  sortNodes,
} from '../onnx/graph-edit.ts';
import {
  graphOf,
  type Initializer,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
} from '../onnx/model.ts';
import { dimsOf, readFloats } from '../onnx/tensor-data.ts';
import { computeOnCodes } from './compute-on-codes.ts';
import { quantizeLinear } from './linear.ts';
import type { ActivationParameters } from './parameters.ts';
import type { QuantizationPlan, QuantizedConstant, QuantizedLayer } from './quantization-plan.ts';
import { shieldFloatLayers } from './shield-float-layers.ts';
import { shieldGelus } from './shield-gelus.ts';
import { shieldResizes } from './shield-resizes.ts';
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
  quantizeConstants(edit, plan.constants);
  insertPairs(edit, plan.activations);
  computeOnCodes(graph, (tensor) => plan.activations.get(tensor));
  shieldFloatLayers(graph, plan.floatNodes);
  shieldGelus(graph);
  sortNodes(graph);
  shieldResizes(graph);
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

/** Every pair of QuantizeLinear and DequantizeLinear; readers learn the new names in one walk at the end. */
function insertPairs(
  edit: GraphEdit,
  activations: ReadonlyMap<string, ActivationParameters>,
): void {
  const { graph, newName } = edit;
  const inputs = new Set(graph.input.map(({ name }) => name));
  const outputs = new Set(graph.output.map(({ name }) => name));
  const [read, made] = [new Map<string, string>(), new Map<string, string>()];
  const pairs: OnnxNode[] = [];
  for (const [tensor, { scale: step, zeroPoint: zero }] of activations) {
    const scale = addTensor(edit, `${tensor}_scale`, [], Float32Array.of(step));
    const zeroPoint = addTensor(edit, `${tensor}_zero_point`, [], Uint8Array.of(zero));
    const renamed = newName(`${tensor}_dequantized`);
    // The name belongs to the graph's output, so what made the tensor gets another one. What is the
    // model's input as well stays what it is, and only its readers see codes.
    const isOutput = outputs.has(tensor) && !inputs.has(tensor);
    (isOutput ? made : read).set(tensor, renamed);
    const [source, dequantized] = isOutput ? [renamed, tensor] : [tensor, renamed];
    const quantized = newName(`${tensor}_quantized`);
    pairs.push(
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
  renameUses(graph, read);
  for (const node of graph.node) node.output = node.output.map((name) => made.get(name) ?? name);
  graph.node = [...graph.node, ...pairs];
}

function quantizeConstants(
  edit: GraphEdit,
  constants: ReadonlyMap<string, QuantizedConstant>,
): void {
  const initializers = new Map(edit.graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const [name, constant] of constants) {
    quantizeConstant(edit, initializers.get(name)!, constant); // planned from this graph's
  }
}

/** For those that run in integers: a Clip or a Pad may read the same constant as it is. */
function quantizeConstant(
  edit: GraphEdit,
  tensor: Initializer,
  { parameters, readers }: QuantizedConstant,
): void {
  const { graph, newName } = edit;
  const { name } = tensor;
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
