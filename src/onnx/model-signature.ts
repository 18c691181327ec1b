import { OnnxError } from '../diagnostics/errors.ts';
import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type ValueInfo } from './model.ts';
import { RESHAPING } from './reshaping.ts';

/** What an image classifier takes and gives; null where a dimension is dynamic or not declared. */
export interface ClassifierSignature {
  readonly inputName: string;
  /** `uint8`: it takes the pixels themselves. */
  readonly inputType: 'float32' | 'uint8';
  /** `nhwc`: [N, H, W, 3], as TensorFlow's exporters leave it. */
  readonly inputLayout: 'nchw' | 'nhwc';
  readonly batchSize: number | null;
  readonly height: number | null;
  readonly width: number | null;
  readonly outputName: string;
  readonly classCount: number | null;
  /** `probabilities`: the graph ends in a softmax already; `sigmoids`: in one sigmoid a score. */
  readonly scores: 'logits' | 'probabilities' | 'sigmoids';
}

/**
 * The signature of a model with one image input, float32 or uint8 pixels in either
 * layout, and class scores as its first output. @throws OnnxError `onnx/not-a-classifier` when it has another form.
 */
export function classifierSignature(model: OnnxModel, shownName: string): ClassifierSignature {
  const graph = graphOf(model);
  // Up to IR version 3 initializers were listed among the inputs too.
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter(({ name }) => !initializers.has(name));
  const [input] = inputs;
  const [output] = graph.output;
  if (input === undefined || inputs.length !== 1 || output === undefined) {
    const names = inputs.map(({ name }) => name).join(', ');
    throw notAClassifier(shownName, `it has ${inputs.length} inputs (${names}), expected 1`);
  }
  const inputDims = imageDimsOf(input);
  const inputType = inputTypeOf(input, shownName);
  const isNhwc = inputDims[3] === 3 && inputDims[1] !== 3;
  const [batchSize = null, ...others] = inputDims;
  const [channels = null, height = null, width = null] = isNhwc
    ? [others[2], others[0], others[1]]
    : others;
  if (inputDims.length !== 4 || (channels !== null && channels !== 3)) {
    const dims = inputDims.map((dim) => dim ?? '?').join(', ');
    throw notAClassifier(shownName, `input "${input.name}" has shape [${dims}]`);
  }
  const outputDims = dimsOf(output);
  return {
    inputName: input.name,
    inputType,
    inputLayout: isNhwc ? 'nhwc' : 'nchw',
    batchSize,
    height,
    width,
    outputName: output.name,
    classCount: outputDims[1] ?? null,
    scores: scoresOf(graph, output.name),
  };
}

/** @throws OnnxError `onnx/input-type` for what an image is not. */
function inputTypeOf(input: ValueInfo, shownName: string): ClassifierSignature['inputType'] {
  const type = elementTypeOf(input);
  if (type === DataType.UINT8) return 'uint8';
  if (FLOATS.has(type)) return 'float32';
  throw new OnnxError({
    code: 'onnx/input-type',
    message: `${shownName}: input "${input.name}" is ${shownType(type)}, expected float32 values or uint8 pixels`,
    hint: 'export the model in float32, with a float32 image as its input',
  });
}

/**
 * Verifies that the first output can be the scores of classes.
 * @throws OnnxError `onnx/output-type`
 */
export function requireScores(model: OnnxModel, shownName: string): void {
  const [output] = graphOf(model).output;
  if (output === undefined) return; // `classifierSignature` has its message
  const type = elementTypeOf(output);
  if (FLOATS.has(type)) return;
  throw new OnnxError({
    code: 'onnx/output-type',
    message: `${shownName}: output "${output.name}" is ${shownType(type)}, expected the scores of the classes in float32`,
    hint: 'export the model in float32 and without what makes classes of the scores (an ArgMax or TopK at its end)',
  });
}

/** `float16`, as ONNX names its element types, in lower case. */
function shownType(type = 0): string {
  const names: Readonly<Record<number, string>> = DataType; // a damaged file may hold any number
  return names[type]?.toLowerCase() ?? `of type ${type}`;
}

/** Of a tensor as the graph declares it: a number of `TensorProto_DataType`. */
export function elementTypeOf(info: ValueInfo): number | undefined {
  const type = info.type?.value;
  return type?.case === 'tensorType' ? type.value.elemType : undefined;
}

/** What is declared as float32, or not at all. */
const FLOATS: ReadonlySet<number | undefined> = new Set([
  DataType.FLOAT,
  DataType.UNDEFINED,
  undefined,
]);

/** An image whose shape is not declared is taken to be [N, 3, H, W], the form convolutions have. */
function imageDimsOf(info: ValueInfo): (number | null)[] {
  const type = info.type?.value;
  const isUndeclared = type?.case === 'tensorType' && type.value.shape === undefined;
  return isUndeclared ? [null, null, null, null] : dimsOf(info);
}

/** The declared dimensions, null where one is dynamic; none where no shape is declared. */
export function dimsOf(info: ValueInfo): (number | null)[] {
  const type = info.type?.value;
  if (type?.case !== 'tensorType') return [];
  return (type.value.shape?.dim ?? []).map(({ value }) =>
    value.case === 'dimValue' && value.value > 0n ? Number(value.value) : null,
  );
}

/** Operators that pass values on: what stands before them decides what the output means. */
const PASSING = ['Identity', 'Cast', 'QuantizeLinear', 'DequantizeLinear'];

function scoresOf(graph: OnnxGraph, outputName: string): ClassifierSignature['scores'] {
  if (operatorBefore(graph, outputName, PASSING) === 'Softmax') return 'probabilities';
  // Reshaping may change what a row is, which each value by itself does not mind.
  const operator = operatorBefore(graph, outputName, [...PASSING, ...RESHAPING]);
  return operator === 'Sigmoid' ? 'sigmoids' : 'logits';
}

/** The last that is none of `passing`; undefined where none is. */
function operatorBefore(
  graph: OnnxGraph,
  outputName: string,
  passing: readonly string[],
): string | undefined {
  const producers = new Map(graph.node.flatMap((node) => node.output.map((name) => [name, node])));
  let producer = producers.get(outputName);
  while (producer !== undefined && passing.includes(producer.opType)) {
    producer = producers.get(producer.input[0] ?? '');
  }
  return producer?.opType;
}

function notAClassifier(shownName: string, reason: string): OnnxError {
  return new OnnxError({
    code: 'onnx/not-a-classifier',
    message: `${shownName}: ${reason}; a model here takes one image input [N, 3, H, W] or [N, H, W, 3]`,
    hint: 'export the model with a single input of three channels',
  });
}
