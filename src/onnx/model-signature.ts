import { OnnxError } from '../diagnostics/errors.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type ValueInfo } from './model.ts';

/** What an image classifier takes and gives; null where a dimension is dynamic or not declared. */
export interface ClassifierSignature {
  readonly inputName: string;
  readonly batchSize: number | null;
  readonly height: number | null;
  readonly width: number | null;
  readonly outputName: string;
  readonly classCount: number | null;
  /** `probabilities`: the graph ends in a softmax already. */
  readonly scores: 'logits' | 'probabilities';
}

/**
 * The signature of a model with one float image input [N, 3, H, W] and class scores as its first
 * output. @throws OnnxError `onnx/not-a-classifier` when it has another form.
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
  const inputDims = dimsOf(input);
  const [batchSize = null, channels = null, height = null, width = null] = inputDims;
  if (inputDims.length !== 4 || (channels !== null && channels !== 3)) {
    const shown = inputDims.map((dim) => dim ?? '?').join(', ');
    throw notAClassifier(shownName, `input "${input.name}" has shape [${shown}]`);
  }
  const outputDims = dimsOf(output);
  return {
    inputName: input.name,
    batchSize,
    height,
    width,
    outputName: output.name,
    classCount: outputDims[1] ?? null,
    scores: endsInSoftmax(graph, output.name) ? 'probabilities' : 'logits',
  };
}

function dimsOf(info: ValueInfo): (number | null)[] {
  const type = info.type?.value;
  if (type?.case !== 'tensorType') return [];
  return (type.value.shape?.dim ?? []).map(({ value }) =>
    value.case === 'dimValue' && value.value > 0n ? Number(value.value) : null,
  );
}

/** Operators that pass values on: what stands before them decides what the output means. */
const PASSING = new Set(['Identity', 'Cast', 'QuantizeLinear', 'DequantizeLinear']);

function endsInSoftmax(graph: OnnxGraph, outputName: string): boolean {
  const producers = new Map(graph.node.flatMap((node) => node.output.map((name) => [name, node])));
  let producer = producers.get(outputName);
  while (producer !== undefined && PASSING.has(producer.opType)) {
    producer = producers.get(producer.input[0] ?? '');
  }
  return producer?.opType === 'Softmax';
}

function notAClassifier(shownName: string, reason: string): OnnxError {
  return new OnnxError({
    code: 'onnx/not-a-classifier',
    message: `${shownName}: ${reason}; a model here takes one image input [N, 3, H, W]`,
    hint: 'export the model with channels first and a single input',
  });
}
