import { OnnxError } from '../diagnostics/errors.ts';
import { indexGraph, shownNode } from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { dimsOf, readFloats, viewFloats } from '../onnx/tensor-data.ts';
import { alignScales } from './align-scales.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { markGraph, type FloatNode, type GraphMarks } from './mark-graph.ts';
import { activationParameters, clampRange, type ActivationParameters } from './parameters.ts';
import type { Target } from './choices.ts';
import { codeBounds, type CodeBounds } from './code-bounds.ts';
import { weightScales, type QuantizedWeight, type WeightScheme } from './weights.ts';

/** A layer and how it will be quantized. */
export interface PlannedLayer {
  readonly node: OnnxNode;
  readonly name: string;
  readonly inputTensor: string;
  readonly outputTensor: string;
  readonly axis: 0 | 1;
  readonly channelCount: number;
  readonly weightDims: readonly number[];
  /** Initializer of the graph that was planned, of `weightDims`. */
  readonly weightName: string;
  /** See `weightScales`; codes come last, since corrections choose others than the nearest. */
  readonly scales: Float32Array;
  readonly bounds: CodeBounds;
  /** Zeros where the float layer has none. */
  readonly bias: Float32Array;
}

/** A layer with its numbers: what the apply phase writes. */
export interface QuantizedLayer extends PlannedLayer {
  readonly weight: QuantizedWeight;
  /** See `worstPairSum`. */
  readonly worstPairSum: number;
}

export interface QuantizedConstant {
  readonly parameters: ActivationParameters;
  /** The nodes that read it in integers. */
  readonly readers: readonly OnnxNode[];
}

/** What will be done to a graph; the graph itself is unchanged. */
export interface QuantizationPlan<Layer extends PlannedLayer = PlannedLayer> {
  readonly layers: readonly Layer[];
  /** Tensors that get QuantizeLinear and DequantizeLinear, in graph order. */
  readonly activations: ReadonlyMap<string, ActivationParameters>;
  readonly constants: ReadonlyMap<string, QuantizedConstant>;
  readonly floatNodes: readonly FloatNode[];
}

/** How all layers are quantized. */
export interface PlanScheme extends Pick<WeightScheme, 'granularity' | 'range'> {
  readonly target: Target;
  readonly firstConvolution: 'pad' | 'keep';
}

/**
 * The plan for a prepared graph with the ranges of `table`.
 * @throws OnnxError `quantization/missing-range` when the table was made for another model.
 */
export function planQuantization(
  graph: OnnxGraph,
  table: Pick<CalibrationTable, 'tensors'>,
  scheme: PlanScheme,
  excluded?: ReadonlySet<string>,
): QuantizationPlan {
  requireNodes(graph, excluded ?? new Set());
  const marks = markGraph(graph, excluded);
  const { initializers } = indexGraph(graph);
  const activations = planActivations(marks, table);
  const constants = new Map<string, QuantizedConstant>();
  for (const [name, readers] of marks.constants) {
    const values = readFloats(initializers.get(name)!); // marked because it is an initializer
    const min = values.reduce((least, value) => Math.min(least, value), 0);
    const max = values.reduce((most, value) => Math.max(most, value), 0);
    constants.set(name, { parameters: activationParameters({ min, max }), readers });
  }
  const layers = marks.layers.map((layer): PlannedLayer => {
    const { node, axis, inputTensor } = layer;
    const weight = initializers.get(layer.weightName)!; // marked because it is an initializer
    const weightDims = dimsOf(weight);
    const channelCount = weightDims[axis] ?? 1;
    const bias =
      layer.biasName === undefined
        ? new Float32Array(channelCount)
        : readFloats(initializers.get(layer.biasName)!); // checked by the mark phase
    const inputScale = activations.get(inputTensor)!.scale; // the mark phase quantizes it
    const values = viewFloats(weight);
    const bounds = codeBounds({ node, weightDims, axis }, scheme.target, scheme.firstConvolution);
    return {
      node,
      name: shownNode(node),
      inputTensor,
      outputTensor: node.output[0] ?? '',
      axis,
      channelCount,
      weightDims,
      weightName: layer.weightName,
      scales: weightScales(
        { values, channelCount, axis, bias, inputScale },
        { ...scheme, ...bounds },
      ),
      bounds,
      bias,
    };
  });
  return { layers, activations, constants, floatNodes: marks.floatNodes };
}

/**
 * Scale and zero point of every marked tensor: the table's range inside what the Relu or Clip before
 * it, and those behind it, let through; tensors that are added or concatenated share a scale where that
 * serves (see `alignScales`).
 * @throws OnnxError `quantization/missing-range`
 */
export function planActivations(
  marks: Pick<GraphMarks, 'tensors' | 'joins' | 'layers'>,
  table: Pick<CalibrationTable, 'tensors'>,
): Map<string, ActivationParameters> {
  const activations = new Map<string, ActivationParameters>();
  const zeros = new Set<string>(); // any scale does for them
  for (const [tensor, { source, low, high, read }] of marks.tensors) {
    const range = table.tensors[source];
    if (range === undefined) throw missingRange(source);
    const clamped = clampRange(clampRange(range, low, high), read.low, read.high);
    activations.set(tensor, activationParameters(clamped, high));
    if (clamped.min === 0 && clamped.max === 0) zeros.add(tensor);
  }
  const { joins } = marks;
  const isZero = (tensor: string): boolean => zeros.has(tensor);
  const aligned = joins.filter(({ inputs, output }) => ![...inputs, output].some(isZero));
  return alignScales(activations, { ...marks, joins: aligned });
}

function requireNodes(graph: OnnxGraph, names: ReadonlySet<string>): void {
  const known = new Set(graph.node.map(shownNode));
  const missing = [...names].filter((name) => !known.has(name));
  if (missing.length === 0) return;
  throw new OnnxError({
    code: 'quantization/unknown-node',
    message: `nodes to exclude are not in the model as it is quantized: ${missing.join(', ')}`,
    hint: 'batch norms and constants are folded into the layer beside them: exclude that',
  });
}

function missingRange(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/missing-range',
    message: `the calibration table has no range for tensor "${tensor}"`,
    hint: 'calibrate the same model that is quantized',
  });
}
