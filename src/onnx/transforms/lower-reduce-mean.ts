import { integerOf, integersOf, setIntegers } from '../attributes.ts';
import { makeIntegers, makeNode } from '../build.ts';
import { nameMaker, soleConsumer } from '../graph-edit.ts';
import { createLiveIndex } from '../live-index.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph } from '../shape-inference.ts';
import { readIntegers } from '../tensor-data.ts';

/**
 * Turns ReduceMean over the two image axes of [N, C, H, W], or of [N, H, W, C], into GlobalAveragePool
 * (and a Flatten where the axes are dropped): onnxruntime has an integer form of the pool only. A mean
 * over one axis and then the other counts as one over both.
 */
export function lowerReduceMean(graph: OnnxGraph): void {
  if (!graph.node.some(({ opType }) => opType === 'ReduceMean')) return;
  joinMeans(graph);
  const newName = nameMaker(graph);
  const { shapes } = inferGraph(graph);
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  graph.node = graph.node.flatMap((node) => {
    if (node.opType !== 'ReduceMean' || shapes.get(node.input[0] ?? '')?.length !== RANK)
      return [node];
    const axes = reducedAxes(node, initializers)?.join() ?? '';
    const isChannelsLast = axes === '1,2';
    if (axes !== '2,3' && !isChannelsLast) return [node];
    const [output = ''] = node.output;
    const made: OnnxNode[] = [];
    const add = (opType: string, what: string, input: string, isLast: boolean, perm?: number[]) => {
      const result = isLast ? output : newName(`${output}_${what}`);
      const isPool = opType === 'GlobalAveragePool';
      const name = isPool && node.name !== '' ? node.name : newName(`${output}/${what}`);
      const attributes = perm === undefined ? {} : { perm };
      made.push(makeNode({ opType, name, inputs: [input], outputs: [result], attributes }));
      return result;
    };
    const keepsAxes = integerOf(node, 'keepdims', 1) === 1;
    let [value = ''] = node.input;
    if (isChannelsLast) value = add('Transpose', 'channels_first', value, false, [0, 3, 1, 2]);
    value = add('GlobalAveragePool', 'pooled', value, keepsAxes && !isChannelsLast);
    // [N, C, 1, 1] → [N, C] or [N, 1, 1, C]
    if (!keepsAxes) add('Flatten', 'flatten', value, true);
    else if (isChannelsLast) add('Transpose', 'channels_last', value, true, [0, 2, 3, 1]);
    return made;
  });
}

const RANK = 4;

/** Lets the second of two means in a row take over the axes of the first, which nothing else reads. */
function joinMeans(graph: OnnxGraph): void {
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  const index = createLiveIndex(graph);
  for (const first of graph.node) {
    if (first.opType !== 'ReduceMean') continue;
    const second = soleConsumer(index, first.output[0] ?? '');
    if (second?.opType !== 'ReduceMean') continue;
    if (shapes.get(first.input[0] ?? '')?.length !== RANK) continue;
    const keeps = integerOf(first, 'keepdims', 1);
    if (keeps !== integerOf(second, 'keepdims', 1)) continue;
    const axes = reducedAxes(first, index.initializers);
    if (axes === undefined) continue;
    const left = [0, 1, 2, 3].filter((axis) => keeps === 1 || !axes.includes(axis));
    const more = reducedAxes(second, index.initializers, left.length)?.map(
      (axis) => left[axis] ?? NaN,
    );
    if (more === undefined) continue;
    const all = [...new Set([...axes, ...more])].sort();
    const [input = ''] = first.input;
    if (second.input.length > 1) {
      const name = newName(`${second.output[0] ?? ''}_axes`);
      index.addInitializer(makeIntegers(name, all));
      index.setInputs(second, [input, name, ...second.input.slice(2)]);
    } else {
      setIntegers(second, 'axes', all);
      index.setInputs(second, [input]);
    }
    index.replaceNode(first);
  }
  index.settle();
}

/**
 * Constant axes in ascending order: an attribute up to opset 17, an input from 18 on. Undefined where
 * none are named, which means all or, if the node says so, none.
 */
function reducedAxes(
  node: OnnxNode,
  initializers: ReadonlyMap<string, Initializer>,
  rank = RANK,
): number[] | undefined {
  const tensor = initializers.get(node.input[1] ?? '');
  const axes =
    integersOf(node, 'axes') ?? (tensor === undefined ? undefined : readIntegers(tensor));
  if (axes === undefined || axes.length === 0) return undefined;
  return axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort();
}
