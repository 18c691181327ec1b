import { makeNode, makeValueInfo } from '../../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../../onnx/generated/onnx_pb.ts';
import { nameMaker, sortNodes } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../onnx/model.ts';
import { elementTypeOf } from '../../onnx/model-signature.ts';
import { inferGraph } from '../../onnx/shape-inference.ts';
import type { ActivationParameters } from '../parameters.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { patchGeometry, type PatchGeometry } from './patch-sampler.ts';

/** What the statistics model tells of a layer's input; outputs hold one image. */
export interface LayerStatistics {
  readonly layer: PlannedLayer;
  readonly geometry: PatchGeometry;
  readonly parameters: ActivationParameters;
  /** [H, W] of the layer's input; [rows, 1] for a Gemm or MatMul whose number of rows is known. */
  readonly plane: readonly [number, number];
  /** [C, indices]: the input at those places of each plane. Without indices all of it, [rows, C]. */
  readonly gathered: { readonly output: string; readonly indices?: string };
}

/**
 * The float model with outputs that tell of the input of each planned layer what rounding its weights
 * and correcting its bias need, for one image of the size `inputDims`; activations stay inside
 * onnxruntime. Layers whose input has a size that does not follow from the image's are left out.
 */
export function statisticsModel(
  source: OnnxModel,
  plan: QuantizationPlan,
  inputDims: readonly number[],
): { readonly model: OnnxModel; readonly layers: readonly LayerStatistics[] } {
  const model = cloneModel(source);
  const graph = graphOf(model);
  const [input] = graph.input;
  // It may take pixels.
  if (input !== undefined)
    graph.input[0] = makeValueInfo(input.name, inputDims, elementTypeOf(input));
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  const add = (opType: string, inputs: readonly string[], attributes: IntegerAttributes = {}) => {
    const output = newName(`${inputs[0] ?? ''}_${opType}`);
    graph.node.push(makeNode({ opType, name: output, inputs, outputs: [output], attributes }));
    return output;
  };
  const flatForms = new Map<string, string>();
  // [1, C, H, W] → [C, H · W], or [R, C] → [C, R], once a tensor
  const flat = (tensor: string, isImage: boolean): string => {
    const form =
      flatForms.get(tensor) ??
      (isImage ? add('Flatten', [tensor], { axis: 2 }) : add('Transpose', [tensor]));
    flatForms.set(tensor, form);
    return form;
  };

  const layers = plan.layers.flatMap((layer): LayerStatistics | [] => {
    const { inputTensor: tensor, node, weightDims } = layer;
    const geometry = patchGeometry(node, weightDims);
    const parameters = plan.activations.get(tensor)!; // planned for every layer
    const shared = { layer, geometry, parameters };
    const isImage = node.opType === 'Conv';
    const shape = shapes.get(tensor) ?? [];
    const [rowCount = NaN] = shape.length === 2 ? shape : [];
    if (!isImage && (rowCount === 1 || Number.isNaN(rowCount))) {
      return {
        ...shared,
        plane: [1, 1],
        gathered: { output: add('Identity', [tensor]) },
      };
    }
    const [height = NaN, width = NaN] = isImage ? shape.slice(2) : [rowCount, 1];
    if (Number.isNaN(height * width)) return [];
    const plane = [height, width] as const;
    const indices = newName(`${layer.outputTensor}_places`);
    graph.input.push(makeValueInfo(indices, ['places'], DataType.INT32));
    return {
      ...shared,
      plane,
      gathered: { output: add('Gather', [flat(tensor, isImage), indices], { axis: 1 }), indices },
    };
  });
  const names = layers.map(({ gathered }) => gathered.output);
  graph.output = [...new Set(names)].map((name) => makeValueInfo(name, 'any'));
  sortNodes(graph);
  return { model, layers };
}

type IntegerAttributes = Readonly<Record<string, number>>;
