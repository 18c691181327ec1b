import { makeNode, makeValueInfo } from '../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { nameMaker, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import type { OnnxTensor } from '../runtime/onnx-session.ts';
import type { planActivations } from './quantization-plan.ts';

export interface TrialModel {
  readonly model: OnnxModel;
  readonly inputsOf: (
    activations: ReturnType<typeof planActivations>,
  ) => Readonly<Record<string, OnnxTensor>>;
}

/**
 * The float model with QuantizeLinear and DequantizeLinear after each of `tensors`, whose scales and zero
 * points are inputs.
 */
export function trialModel(source: OnnxModel, tensors: readonly string[]): TrialModel {
  const model = cloneModel(source);
  const graph = graphOf(model);
  const newName = nameMaker(graph);
  const roundedOf = new Map<string, string>();
  const pairs: OnnxNode[] = [];
  const names = new Map<string, { scale: string; zeroPoint: string }>();
  for (const tensor of tensors) {
    const scale = newName(`${tensor}_scale`);
    const zeroPoint = newName(`${tensor}_zero_point`);
    const codes = newName(`${tensor}_quantized`);
    const rounded = newName(`${tensor}_dequantized`);
    names.set(tensor, { scale, zeroPoint });
    roundedOf.set(tensor, rounded);
    graph.input.push(makeValueInfo(scale, []), makeValueInfo(zeroPoint, [], DataType.UINT8));
    const add = (opType: string, input: string, output: string): void => {
      const inputs = [input, scale, zeroPoint];
      pairs.push(makeNode({ opType, name: newName(output), inputs, outputs: [output] }));
    };
    add('QuantizeLinear', tensor, codes);
    add('DequantizeLinear', codes, rounded);
  }
  for (const node of graph.node) node.input = node.input.map((name) => roundedOf.get(name) ?? name);
  for (const output of graph.output) output.name = roundedOf.get(output.name) ?? output.name;
  graph.node = [...graph.node, ...pairs];
  sortNodes(graph);
  return {
    model,
    inputsOf: (activations) => {
      const inputs: Record<string, OnnxTensor> = {};
      for (const [tensor, { scale, zeroPoint }] of names) {
        const parameters = activations.get(tensor) ?? { scale: 1, zeroPoint: 0 }; // every marked tensor is planned
        inputs[scale] = { data: Float32Array.of(parameters.scale), dims: [] };
        inputs[zeroPoint] = { data: Uint8Array.of(parameters.zeroPoint), dims: [] };
      }
      return inputs;
    },
  };
}
