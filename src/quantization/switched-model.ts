import { create } from '@bufbuild/protobuf';
import { makeNode, makeTensor, makeValueInfo } from '../onnx/build.ts';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  TensorProto_DataType as DataType,
} from '../onnx/generated/onnx_pb.ts';
import { nameMaker } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import type { BiasCorrections } from './insert-qdq.ts';
import type { LeftInput } from './left-input.ts';
import type { QuantizationPlan, QuantizedLayer } from './quantization-plan.ts';
import { dequantizeWeight } from './weights.ts';

export interface SwitchedModel {
  readonly model: OnnxModel;
  /**
   * A scalar int64 input: number of the layer that runs quantized, or -1 for none. With `left`, numbers
   * from the count of layers on are those of layers in float that read what is left in codes.
   */
  readonly switchName: string;
}

/**
 * The float model with an If around each planned layer: one branch is the layer as it was, the other
 * its fake-quantized form (weights, bias correction and input). One file and one session so serve for
 * measuring every layer alone. `model` must be prepared like the one `plan` was made for. `left`, by the
 * layer's output tensor, asks for a third branch: the float layer with these tensors rounded.
 */
export function switchedModel(
  model: OnnxModel,
  plan: QuantizationPlan<QuantizedLayer>,
  corrections: BiasCorrections = new Map(),
  left: ReadonlyMap<string, LeftInput> = new Map(),
): SwitchedModel {
  const switched = cloneModel(model);
  const graph = graphOf(switched);
  const newName = nameMaker(graph);
  const switchName = newName('active_layer');
  const numbers = new Map(plan.layers.map((layer, i) => [layer.outputTensor, i]));

  const scalar = (wanted: string, data: Float32Array | Uint8Array | BigInt64Array): string => {
    const name = newName(wanted);
    graph.initializer.push(makeTensor(name, [], data));
    return name;
  };
  const addTensor = (wanted: string, dims: readonly number[], data: Float32Array): string => {
    const name = newName(wanted);
    graph.initializer.push(makeTensor(name, dims, data));
    return name;
  };

  const rounding = (tensor: string, owner: string): { nodes: OnnxNode[]; values: string } => {
    const parameters = plan.activations.get(tensor) ?? { scale: 1, zeroPoint: 0 }; // what a plan reads is in it
    const scale = scalar(`${owner}_scale`, Float32Array.of(parameters.scale));
    const zeroPoint = scalar(`${owner}_zero_point`, Uint8Array.of(parameters.zeroPoint));
    const codes = newName(`${owner}_codes`);
    const values = newName(`${owner}_values`);
    const nodes = [
      makeNode({
        opType: 'QuantizeLinear',
        name: codes,
        inputs: [tensor, scale, zeroPoint],
        outputs: [codes],
      }),
      makeNode({
        opType: 'DequantizeLinear',
        name: values,
        inputs: [codes, scale, zeroPoint],
        outputs: [values],
      }),
    ];
    return { nodes, values };
  };

  const quantizedBranch = (node: OnnxNode, layer: QuantizedLayer): OnnxNode[] => {
    const output = layer.outputTensor;
    const { nodes, values } = rounding(layer.inputTensor, output);
    const weight = addTensor(
      `${output}_weight`,
      layer.weightDims,
      dequantizeWeight(layer.weight, layer.channelCount, layer.axis),
    );
    const correction = corrections.get(output);
    const bias = addTensor(
      `${output}_bias`,
      [layer.bias.length],
      layer.bias.map((value, c) => value + (correction?.[c] ?? 0)),
    );
    return [...nodes, copyOf(node, [values, weight, bias], [newName(`${output}_quantized`)])];
  };

  const leftBranch = (node: OnnxNode, { tensors, between }: LeftInput): OnnxNode[] => {
    const output = node.output[0] ?? '';
    const names = new Map<string, string>();
    const nodes = tensors.flatMap((tensor) => {
      const { nodes, values } = rounding(tensor, `${output}_left`);
      names.set(tensor, values);
      return nodes;
    });
    const renamed = (inputs: readonly string[]): string[] =>
      inputs.map((input) => names.get(input) ?? input);
    const copies = between.map((maker) => {
      const inputs = renamed(maker.input);
      const outputs = maker.output.map((made) => (made === '' ? '' : newName(`${output}_${made}`)));
      for (const [i, made] of maker.output.entries()) names.set(made, outputs[i] ?? made);
      return copyOf(maker, inputs, outputs);
    });
    const last = copyOf(node, renamed(node.input), [newName(`${output}_from_left`)]);
    return [...nodes, ...copies, last];
  };

  /** `output` is what `active` makes while the switch has this number, and what `otherwise` makes else. */
  const chosen = (
    output: string,
    number: number,
    active: readonly OnnxNode[],
    otherwise: readonly OnnxNode[],
  ): OnnxNode[] => {
    const condition = newName(`${output}_is_active`);
    const choice = makeNode({
      opType: 'If',
      name: newName(`${output}/if`),
      inputs: [condition],
      outputs: [output],
    });
    choice.attribute = [
      branchAttribute('then_branch', active),
      branchAttribute('else_branch', otherwise),
    ];
    const own = scalar(`${output}_number`, BigInt64Array.of(BigInt(number)));
    const equal = makeNode({
      opType: 'Equal',
      name: condition,
      inputs: [switchName, own],
      outputs: [condition],
    });
    return [equal, choice];
  };

  graph.node = graph.node.flatMap((node) => {
    const number = numbers.get(node.output[0] ?? '');
    const layer = number === undefined ? undefined : plan.layers[number];
    if (number === undefined || layer === undefined) return [node];
    const { outputTensor } = layer;
    const float = [copyOf(node, node.input, [newName(`${outputTensor}_float`)])];
    const rest = left.get(outputTensor);
    const otherwise =
      rest === undefined
        ? float
        : chosen(
            newName(`${outputTensor}_other`),
            plan.layers.length + number,
            leftBranch(node, rest),
            float,
          );
    return chosen(outputTensor, number, quantizedBranch(node, layer), otherwise);
  });
  graph.input.push(makeValueInfo(switchName, [], DataType.INT64));
  return { model: switched, switchName };
}

function copyOf(node: OnnxNode, inputs: readonly string[], outputs: readonly string[]): OnnxNode {
  const copy = makeNode({ opType: node.opType, name: outputs[0] ?? '', inputs, outputs });
  copy.attribute = node.attribute;
  return copy;
}

/** A branch that gives what its last node makes; everything else it reads stands outside. */
function branchAttribute(name: string, nodes: readonly OnnxNode[]) {
  const output = nodes.at(-1)?.output[0] ?? '';
  const info = makeValueInfo(output, 'any');
  const graph = create(GraphProtoSchema, { name, node: [...nodes], output: [info] });
  return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: graph });
}
