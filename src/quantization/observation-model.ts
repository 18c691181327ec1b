import { makeNode, makeTensor, makeValueInfo } from '../onnx/build.ts';
import { nameMaker, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { inferGraph, type InferredGraph } from '../onnx/shape-inference.ts';
import type { MarkedTensor } from './mark-graph.ts';

/** Columns of an output that tells of several tensors, [N, columns]: a row an image. */
export interface Columns {
  readonly output: string;
  readonly first: number;
  readonly count: number;
}

/** Where what tells of one tensor stands: one or more values an image. */
export interface ObservedOutputs {
  readonly tensor: string;
  /** Absent where no value can be below 0. */
  readonly minimum?: Columns;
  readonly maximum: Columns;
  /** NaN where a value is; absent where that shows elsewhere. */
  readonly sum?: Columns;
  /** The output with values of the tensor, evenly spaced. */
  readonly sample?: string;
}

/**
 * Values an image and tensor in a histogram. Of 128 images that makes half a million, and the range is
 * that of all values anyway; all of them are 26 million of a ResNet-50 and image, and cost more time
 * than the network itself.
 */
const SAMPLE_COUNT = 4096;

/**
 * Parts of an output. Each output takes 5 µs to hand over, a seventh of a MobileNetV3-Large's run with
 * one for every part; but until an output is made, every tensor that it tells of stays in memory, 30 MB
 * of a ResNet-50 beside its samples.
 */
const GROUP_SIZE = { none: 8, spread: 1 } as const;

export interface ObservationModel {
  readonly model: OnnxModel;
  readonly observed: readonly ObservedOutputs[];
  /** Images a run: 1 where more cannot be told apart again. */
  readonly batchSize: number;
}

/**
 * The float model with outputs that tell the range of each tensor and, for histograms, a sample of its
 * values, so that whole activations never leave onnxruntime. `kept` stay outputs as they are.
 */
export function observationModel(
  source: OnnxModel,
  tensors: ReadonlyMap<string, Pick<MarkedTensor, 'low'>>,
  options: {
    readonly samples: 'none' | 'spread';
    readonly kept: readonly string[];
    readonly batchSize: number;
  },
): ObservationModel {
  const model = cloneModel(source);
  const graph = graphOf(model);
  const inferred = inferGraph(graph);
  const { shapes } = inferred;
  const input = graph.input[0]?.name ?? '';
  const isOfImages = (tensor: string): boolean => startsWithBatch(inferred, input, tensor);
  const all = [...tensors.keys(), ...options.kept];
  const batchSize = options.batchSize === 1 || all.every(isOfImages) ? options.batchSize : 1;
  const newName = nameMaker(graph);
  const version = model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  const integers = (...values: readonly bigint[]): string => {
    const name = newName('observed_constant');
    graph.initializer.push(makeTensor(name, [values.length], BigInt64Array.from(values)));
    return name;
  };
  const add = (
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, number | readonly number[]>> = {},
  ): string => {
    const output = newName(`${inputs[0] ?? ''}_${opType}`);
    graph.node.push(makeNode({ opType, name: output, inputs, outputs: [output], attributes }));
    return output;
  };
  // Of one image a tensor may have any rank; of more its first axis is the batch, 0 keeps it.
  const rows = integers(batchSize === 1 ? 1n : 0n, -1n);
  const one = integers(1n);
  const zero = integers(0n);
  const end = integers(BigInt(2 ** 53));
  // Axes became an input of ReduceMin and ReduceMax in opset 18.
  const extreme = (opType: string, flat: string): string =>
    (version?.version ?? 0n) >= 18n ? add(opType, [flat, one]) : add(opType, [flat], { axes: [1] });
  const groups: { readonly output: string; readonly parts: string[]; columnCount: number }[] = [];
  const columnsOf = (part: string, count: number): Columns => {
    let group = groups.at(-1);
    if (group === undefined || group.parts.length >= GROUP_SIZE[options.samples]) {
      group = { output: newName('extremes'), parts: [], columnCount: 0 };
      groups.push(group);
    }
    const { output, parts, columnCount: first } = group;
    parts.push(part); // [N, count]
    group.columnCount += count;
    return { output, first, count };
  };
  const observed = [...tensors].map(([tensor, { low }]): ObservedOutputs => {
    const shape = shapes.get(tensor) ?? [];
    let made: string | undefined;
    // Only where it is read: onnxruntime runs what nothing reads, too.
    const flat = (): string => (made ??= add('Reshape', [tensor, rows])); // [N, values]
    // A pool reads the blocked layout of convolutions as it is, where a Reshape has to undo it.
    const [, channelCount = NaN] = shape;
    const isPooled =
      low >= 0 && shape.length === 4 && !Number.isNaN(channelCount) && isOfImages(tensor);
    const outputs = {
      tensor,
      maximum: isPooled
        ? columnsOf(add('Reshape', [add('GlobalMaxPool', [tensor]), rows]), channelCount)
        : columnsOf(extreme('ReduceMax', flat()), 1),
      // A reduction takes as long as a ReLU; what a Relu or Clip has limited already is spared two.
      ...(low >= 0
        ? {}
        : {
            minimum: columnsOf(extreme('ReduceMin', flat()), 1),
            sum: columnsOf(add('ReduceSum', [flat(), one]), 1),
          }),
    };
    if (options.samples === 'none') return outputs;
    const step = sampleStep(shape);
    return {
      ...outputs,
      sample: step === 1 ? flat() : add('Slice', [flat(), zero, end, one, integers(BigInt(step))]),
    };
  });
  for (const { output, parts } of groups) {
    graph.node.push(
      makeNode({
        ...{ opType: 'Concat', name: output, attributes: { axis: 1 } },
        ...{ inputs: parts, outputs: [output] },
      }),
    );
  }
  const samples = observed.flatMap(({ sample }) => sample ?? []);
  sortNodes(graph);
  graph.output = [
    ...new Set([...groups.map(({ output }) => output), ...samples, ...options.kept]),
  ].map((name) => makeValueInfo(name, 'any'));
  return { model, observed, batchSize };
}

/** Whether its first axis is the input's: not where the places, or groups, of all images are rows. */
function startsWithBatch(inferred: InferredGraph, input: string, tensor: string): boolean {
  return inferred
    .ofBatches()
    .every(({ shapes }) => shapes.get(tensor)?.[0] === (shapes.get(input)?.[0] ?? NaN));
}

/**
 * Values from one of a sample to the next. It has no divisor in common with the sizes of the axes, so
 * the sample takes from every row, column and channel alike. 1 where the size is not known.
 */
export function sampleStep(shape: readonly number[]): number {
  const count = shape.slice(1).reduce((product, size) => product * size, 1);
  if (Number.isNaN(count)) return 1;
  let step = Math.max(1, Math.floor(count / SAMPLE_COUNT));
  while (greatestCommonDivisor(step, count) > 1) step += 1;
  return step;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
