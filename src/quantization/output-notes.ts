import { classifierSignature, dimsOf } from '../onnx/model-signature.ts';
import { graphOf, type OnnxModel } from '../onnx/model.ts';

/** `scores`: each image's are those of its classes; `values`: anything else, such as a map of features or boxes. */
export type OutputForm = 'scores' | 'values';

export function outputFormOf(model: OnnxModel): OutputForm {
  const [first] = graphOf(model).output;
  return first !== undefined &&
    dimsOf(first)
      .slice(2)
      .some((dim) => dim !== 1)
    ? 'values'
    : 'scores';
}

/** What a reader of the figures has to know of the model's outputs. */
export function outputNotes(model: OnnxModel): string[] {
  const [first, ...others] = graphOf(model).output;
  if (first === undefined) return [];
  const dims = dimsOf(first);
  return [
    ...(others.length === 0 ? [] : [firstAlone(first.name, others)]),
    ...(isOneScore(dims) ? [decision(model)] : []),
    ...(outputFormOf(model) === 'values' ? [noClasses(first.name, dims)] : []),
  ];
}

type Dims = ReturnType<typeof dimsOf>;

/** [N], [N, 1], [N, 1, 1] … */
function isOneScore([batch, ...others]: Dims): boolean {
  if (batch === undefined) return false; // nothing is declared
  return others.length === 0 ? batch === null || batch === 1 : others.every((dim) => dim === 1);
}

function firstAlone(first: string, others: readonly { readonly name: string }[]): string {
  return `the model has ${others.length + 1} outputs: what is told of fidelity is of the first, "${first}", alone; not of ${others.map(({ name }) => `"${name}"`).join(', ')}`;
}

function decision(model: OnnxModel): string {
  const { scores } = classifierSignature(model, 'the model');
  const [threshold, meaning] =
    scores === 'logits' ? ['0', 'the logit'] : ['0.5', 'the probability'];
  return `the model gives one score an image, which is taken for ${meaning} of the second of two classes: top-1 is which side of ${threshold} it is on, KL is of both classes’ probabilities`;
}

function noClasses(name: string, dims: Dims): string {
  const shape = dims.map((dim) => dim ?? '?').join(', ');
  return `output "${name}" is [${shape}], no row of class scores: SQNR is of all its values; top-1 and KL would mean nothing there and are left out`;
}
