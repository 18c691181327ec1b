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
import type { QuantizationPlan, QuantizedLayer } from './quantization-plan.ts';
import { dequantizeWeight } from './weights.ts';

export interface SwitchedModel {
  readonly model: OnnxModel;
  /** A scalar int64 input: number of the layer that runs quantized, or -1 for none. */
  readonly switchName: string;
}

/**
 * The float model with an If around each planned layer: one branch is the layer as it was, the other
 * its fake-quantized form (weights, bias correction and input). One file and one session so serve for
 * measuring every layer alone. `model` must be prepared like the one `plan` was made for.
 */
export function switchedModel(
  model: OnnxModel,
  plan: QuantizationPlan<QuantizedLayer>,
  corrections: BiasCorrections = new Map(),
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

  const quantizedBranch = (node: OnnxNode, layer: QuantizedLayer): OnnxNode[] => {
    const output = layer.outputTensor;
    const parameters = plan.activations.get(layer.inputTensor) ?? { scale: 1, zeroPoint: 0 }; // every layer's input is planned
    const scale = scalar(`${output}_scale`, Float32Array.of(parameters.scale));
    const zeroPoint = scalar(`${output}_zero_point`, Uint8Array.of(parameters.zeroPoint));
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
    const codes = newName(`${output}_codes`);
    const values = newName(`${output}_values`);
    const copy = copyOf(node, [values, weight, bias], newName(`${output}_quantized`));
    return [
      makeNode({
        opType: 'QuantizeLinear',
        name: codes,
        inputs: [layer.inputTensor, scale, zeroPoint],
        outputs: [codes],
      }),
      makeNode({
        opType: 'DequantizeLinear',
        name: values,
        inputs: [codes, scale, zeroPoint],
        outputs: [values],
      }),
      copy,
    ];
  };

  graph.node = graph.node.flatMap((node) => {
    const number = numbers.get(node.output[0] ?? '');
    const layer = number === undefined ? undefined : plan.layers[number];
    if (number === undefined || layer === undefined) return [node];
    const { outputTensor } = layer;
    const condition = newName(`${outputTensor}_is_active`);
    const choice = makeNode({
      opType: 'If',
      name: newName(`${outputTensor}/if`),
      inputs: [condition],
      outputs: [outputTensor],
    });
    choice.attribute = [
      branchAttribute('then_branch', quantizedBranch(node, layer)),
      branchAttribute('else_branch', [copyOf(node, node.input, newName(`${outputTensor}_float`))]),
    ];
    const own = scalar(`${outputTensor}_number`, BigInt64Array.of(BigInt(number)));
    const equal = makeNode({
      opType: 'Equal',
      name: condition,
      inputs: [switchName, own],
      outputs: [condition],
    });
    return [equal, choice];
  });
  graph.input.push(makeValueInfo(switchName, [], DataType.INT64));
  return { model: switched, switchName };
}

function copyOf(node: OnnxNode, inputs: readonly string[], output: string): OnnxNode {
  const copy = makeNode({ opType: node.opType, name: output, inputs, outputs: [output] });
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
