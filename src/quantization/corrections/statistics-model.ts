import { makeNode, makeTensor, makeValueInfo } from '../../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../../onnx/generated/onnx_pb.ts';
import { nameMaker, sortNodes } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../onnx/model.ts';
import { inferGraph } from '../../onnx/shape-inference.ts';
import type { ActivationParameters } from '../parameters.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { meanMatrix, patchGeometry, type PatchGeometry } from './patch-sampler.ts';

/** What the statistics model tells of a layer's input; outputs hold one image. */
export interface LayerStatistics {
  readonly layer: PlannedLayer;
  readonly geometry: PatchGeometry;
  readonly parameters: ActivationParameters;
  /** [H, W] of the layer's input; [1, 1] for a Gemm. */
  readonly plane: readonly [number, number];
  /** [C, indices]: the input at those places of each plane. Without an input all of it. */
  readonly gathered: { readonly output: string; readonly indices?: string };
  /** [C · kH · kW]: means over all output positions, of the input and of its rounded form. */
  readonly mean: string;
  readonly roundedMean: string;
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
  if (input !== undefined) graph.input[0] = makeValueInfo(input.name, inputDims);
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  const constant = (name: string, dims: readonly number[], data: ConstantData): string => {
    const unique = newName(name);
    graph.initializer.push(makeTensor(unique, dims, data));
    return unique;
  };
  const add = (opType: string, inputs: readonly string[], attributes: IntegerAttributes = {}) => {
    const output = newName(`${inputs[0] ?? ''}_${opType}`);
    graph.node.push(makeNode({ opType, name: output, inputs, outputs: [output], attributes }));
    return output;
  };
  const row = constant('row', [1], BigInt64Array.of(-1n));
  const once = <T>(known: Map<string, T>, key: string, make: () => T): T => {
    const value = known.get(key) ?? make();
    known.set(key, value);
    return value;
  };
  const roundedForms = new Map<string, string>();
  const flatForms = new Map<string, string>();
  const means = new Map<string, string>();

  const rounded = (tensor: string, { scale, zeroPoint }: ActivationParameters): string =>
    once(roundedForms, tensor, () => {
      const parameters = [
        constant(`${tensor}_scale`, [], Float32Array.of(scale)),
        constant(`${tensor}_zero_point`, [], Uint8Array.of(zeroPoint)),
      ];
      return add('DequantizeLinear', [
        add('QuantizeLinear', [tensor, ...parameters]),
        ...parameters,
      ]);
    });
  // [1, C, H, W] → [C, H · W]
  const flat = (tensor: string): string =>
    once(flatForms, tensor, () => add('Flatten', [tensor], { axis: 2 }));

  const meanOf = (
    tensor: string,
    [height, width]: readonly [number, number],
    geometry: PatchGeometry,
  ): string =>
    once(means, `${tensor} ${JSON.stringify(geometry)}`, () => {
      const isWhole = [...geometry.kernel, ...geometry.strides].every((size) => size === 1);
      const isPadded =
        typeof geometry.padding !== 'string' && geometry.padding.some((p) => p !== 0);
      if (isWhole && !isPadded) return add('Reshape', [add('GlobalAveragePool', [tensor]), row]);
      const [kernelHeight, kernelWidth] = geometry.kernel;
      const horizontal = meanMatrix(width, 1, geometry); // [W, kW]
      const vertical = meanMatrix(height, 0, geometry); // [H, kH]
      const right = constant('means_along_rows', [width, kernelWidth], horizontal);
      const left = constant(
        'means_along_columns',
        [kernelHeight, height],
        transposed(vertical, kernelHeight),
      );
      // [1, C, H, W] → [1, C, H, kW] → [1, C, kH, kW]
      return add('Reshape', [add('MatMul', [left, add('MatMul', [tensor, right])]), row]);
    });

  const layers = plan.layers.flatMap((layer): LayerStatistics | [] => {
    const { inputTensor: tensor, node, weightDims } = layer;
    const geometry = patchGeometry(node, weightDims);
    const parameters = plan.activations.get(tensor)!; // planned for every layer
    const shared = { layer, geometry, parameters };
    if (node.opType !== 'Conv') {
      return {
        ...shared,
        plane: [1, 1],
        gathered: { output: add('Identity', [tensor]) },
        mean: add('Reshape', [tensor, row]),
        roundedMean: add('Reshape', [rounded(tensor, parameters), row]),
      };
    }
    const [, , height = NaN, width = NaN] = shapes.get(tensor) ?? [];
    if (Number.isNaN(height * width)) return [];
    const plane = [height, width] as const;
    const indices = newName(`${layer.outputTensor}_places`);
    graph.input.push(makeValueInfo(indices, ['places'], DataType.INT64));
    return {
      ...shared,
      plane,
      gathered: { output: add('Gather', [flat(tensor), indices], { axis: 1 }), indices },
      mean: meanOf(tensor, plane, geometry),
      roundedMean: meanOf(rounded(tensor, parameters), plane, geometry),
    };
  });
  const names = layers.flatMap(({ gathered, mean, roundedMean }) => [
    ...[gathered.output, mean, roundedMean],
  ]);
  graph.output = [...new Set(names)].map((name) => {
    const value = makeValueInfo(name, []);
    // Rank and size are left to onnxruntime: an absent shape means "any".
    if (value.type?.value.case === 'tensorType') delete value.type.value.value.shape;
    return value;
  });
  sortNodes(graph);
  return { model, layers };
}

type ConstantData = Float32Array | Uint8Array | BigInt64Array;
type IntegerAttributes = Readonly<Record<string, number>>;

/** [R, columnCount] → [columnCount, R] */
function transposed(matrix: Float32Array, columnCount: number): Float32Array {
  const rowCount = matrix.length / columnCount;
  return Float32Array.from(
    matrix,
    (_, i) => matrix[(i % rowCount) * columnCount + Math.floor(i / rowCount)]!, // inside [R, columns]
  );
}
