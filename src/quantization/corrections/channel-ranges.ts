import { makeNode } from '../../onnx/build.ts';
import { nameMaker } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf } from '../../onnx/model.ts';
import type { ChannelRanges } from './equalization.ts';
import { collectOutputs, setOutputs, type CollectOptions } from './collect-tensors.ts';

/** A tensor whose channels' ranges are wanted. */
export interface ObservedTensor {
  readonly tensor: string;
  readonly channelCount: number;
  /** [N, C, H, W], not [N, C]. */
  readonly isSpatial: boolean;
  /** Whether the least values can be below 0, or matter above it; else they are taken to be 0. */
  readonly needsLeast: boolean;
}

/** The least and the largest value of each channel over the images. */
export async function channelRanges(
  options: CollectOptions,
  observed: readonly ObservedTensor[],
): Promise<Map<string, ChannelRanges>> {
  const copy = cloneModel(options.model);
  const graph = graphOf(copy);
  const newName = nameMaker(graph);
  const add = (opType: string, input: string): string => {
    const output = newName(`${input}_${opType}`);
    graph.node.push(
      makeNode({ opType, name: newName(output), inputs: [input], outputs: [output] }),
    );
    return output;
  };
  // [N, C, H, W] → [N, C, 1, 1]. No Reduce operator, since the form of those depends on the opset.
  const highest = (tensor: string, { isSpatial }: ObservedTensor): string =>
    isSpatial ? add('GlobalMaxPool', tensor) : tensor;
  const outputs = observed.map((each) => ({
    max: highest(each.tensor, each),
    // It takes a network's own blocked layout apart, so only where it is needed.
    negatedMin: each.needsLeast ? highest(add('Neg', each.tensor), each) : null,
  }));
  const names = outputs.flatMap(({ max, negatedMin }) =>
    negatedMin === null ? [max] : [max, negatedMin],
  );
  setOutputs(copy, [...new Set(names)]);
  const ranges = observed.map(({ channelCount, needsLeast }) => ({
    min: new Float64Array(channelCount).fill(needsLeast ? Infinity : 0),
    max: new Float64Array(channelCount).fill(-Infinity),
  }));
  const pass = { ...options, source: options.model };
  await collectOutputs(pass, copy, names, options.images, (values) => {
    const byName = new Map(names.map((name, i) => [name, values[i]]));
    for (const [i, { min, max }] of ranges.entries()) {
      const count = min.length;
      const { negatedMin, max: highestName } = outputs[i]!; // one a tensor
      byName.get(negatedMin ?? '')?.forEach((value, at) => {
        min[at % count] = Math.min(min[at % count]!, -value); // rows of `count`
      });
      byName.get(highestName)?.forEach((value, at) => {
        max[at % count] = Math.max(max[at % count]!, value);
      });
    }
  });
  return new Map(observed.map(({ tensor }, i) => [tensor, ranges[i]!])); // one each
}
