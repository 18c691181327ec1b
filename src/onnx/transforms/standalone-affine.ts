import { makeNode, makeTensor } from '../build.ts';
import { soleConsumer, type GraphIndex } from '../graph-edit.ts';
import type { Initializer, OnnxNode } from '../model.ts';

/** A scaling and shift of each channel of [N, C, H, W] that no layer takes in. */
export interface StandaloneAffine {
  readonly input: string;
  readonly output: string;
  readonly name: string;
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** Whether the tensor is the graph's input, or its transpose, and nothing but `reader` reads it. */
export function isInputOf(
  reader: OnnxNode | undefined,
  tensor: string,
  index: GraphIndex,
): boolean {
  if (reader === undefined || soleConsumer(index, tensor) !== reader) return false;
  const producer = index.producers.get(tensor);
  const [source = ''] = producer?.opType === 'Transpose' ? producer.input : [tensor];
  return index.inputs.has(source) && index.consumers.get(source)?.length === 1;
}

export interface AffineForm {
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly Initializer[];
}

/** A 1x1 convolution with a group a channel. */
export function depthwise(
  { input, output, name, scale, shift }: StandaloneAffine,
  newName: (wanted: string) => string,
): AffineForm {
  const channels = scale.length;
  const [weight, bias] = [newName(`${output}_scale`), newName(`${output}_shift`)];
  return {
    nodes: [
      makeNode({
        ...{ opType: 'Conv', name, inputs: [input, weight, bias], outputs: [output] },
        attributes: { group: channels, kernel_shape: [1, 1] },
      }),
    ],
    constants: [
      makeTensor(weight, [channels, 1, 1, 1], Float32Array.from(scale)),
      makeTensor(bias, [channels], Float32Array.from(shift)),
    ],
  };
}

/** A Mul, an Add or both, by constants [1, C, 1, 1] or one value for all; none where nothing changes. */
export function elementwise(
  { input, output, name, scale, shift }: StandaloneAffine,
  newName: (wanted: string) => string,
): AffineForm {
  const steps = [
    { opType: 'Mul', values: scale, neutral: 1 },
    { opType: 'Add', values: shift, neutral: 0 },
  ].filter(({ values, neutral }) => values.some((value) => value !== neutral));
  const constants: Initializer[] = [];
  let source = input;
  const nodes = steps.map(({ opType, values }, i) => {
    const isUniform = values.every((value) => value === values[0]);
    const constant = newName(`${output}_${opType === 'Mul' ? 'scale' : 'shift'}`);
    const data = Float32Array.from(isUniform ? values.subarray(0, 1) : values);
    constants.push(makeTensor(constant, isUniform ? [] : [1, values.length, 1, 1], data));
    const isLast = i === steps.length - 1;
    const result = isLast ? output : newName(`${output}_scaled`);
    const inputs = [source, constant];
    source = result;
    const own = isLast ? name : newName(`${name}/scale`);
    return makeNode({ opType, name: own, inputs, outputs: [result] });
  });
  return { nodes, constants };
}
