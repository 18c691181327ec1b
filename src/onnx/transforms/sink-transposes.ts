import { integerOf, setInteger } from '../attributes.ts';
import { makeNode, makeTensor } from '../build.ts';
import { nameMaker, pruneNodes } from '../graph-edit.ts';
import { createLiveIndex, type LiveIndex } from '../live-index.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { elementCount, readFloats, readIntegers } from '../tensor-data.ts';
import { CHANNELS_FIRST, CHANNELS_LAST, isArithmetic, isPerChannel, turns } from './transposes.ts';

/**
 * Lets what works on each value, Concat and Pad run before a Transpose to channels last, which so comes
 * to meet the one back to channels first that the next layer has, and both go: exporters of networks
 * with channels last write two around each layer, and between them nothing folds into it.
 */
export function sinkTransposes(graph: OnnxGraph): void {
  if (!graph.node.some((node) => turns(node, CHANNELS_LAST) || turns(node, CHANNELS_FIRST))) return;
  const index = createLiveIndex(graph);
  const state: SinkState = {
    index,
    newName: nameMaker(graph),
    sources: new Map(),
  };
  for (const node of graph.node) {
    const [input = ''] = node.input;
    const [output = ''] = node.output;
    const source = state.sources.get(input);
    if (turns(node, CHANNELS_LAST)) state.sources.set(output, input);
    if (turns(node, CHANNELS_FIRST) && source !== undefined && !index.outputs.has(output)) {
      index.replaceUses(output, source);
      index.replaceNode(node);
      continue;
    }
    const inputs = inputsBefore(node, state);
    if (inputs === undefined) continue;
    const sunk = state.newName(`${output}_channels_first`);
    index.setInputs(node, inputs);
    index.setOutputs(node, [sunk]);
    if (node.opType === 'Concat') setInteger(node, 'axis', axisBefore(integerOf(node, 'axis', 1)));
    state.sources.set(output, sunk);
    const name = state.newName(`${output}/channels_last`);
    const perm = { perm: [...CHANNELS_LAST] };
    const spec = { opType: 'Transpose', name, inputs: [sunk], outputs: [output], attributes: perm };
    index.replaceNode(node, [node, makeNode(spec)]);
  }
  index.settle();
  pruneNodes(graph); // a Transpose that nobody reads would count as a reader
}

interface SinkState {
  readonly index: LiveIndex;
  readonly newName: (wanted: string) => string;
  /** What a tensor with channels last was before its Transpose. */
  readonly sources: Map<string, string>;
}

const OF_ONE = new Set('Relu Clip Sigmoid HardSigmoid HardSwish LeakyRelu Elu Tanh Erf'.split(' '));

/** The inputs of the node where it runs on channels first, or undefined where it cannot. */
function inputsBefore(node: OnnxNode, state: SinkState): string[] | undefined {
  const { sources } = state;
  const [input = '', ...others] = node.input;
  const source = sources.get(input);
  if (node.output.length !== 1) return undefined;
  if (OF_ONE.has(node.opType)) return source === undefined ? undefined : [source, ...others];
  if (node.opType === 'Pad') {
    const pads =
      source === undefined || node.input.length > 3 ? undefined : padsBefore(node, state);
    return source === undefined || pads === undefined
      ? undefined
      : [source, pads, ...others.slice(1)];
  }
  if (node.opType !== 'Concat' && !isArithmetic(node)) return undefined;
  if (!node.input.some((name) => sources.has(name))) return undefined;
  const before = node.input.map(
    (name) =>
      sources.get(name) ?? (node.opType === 'Concat' ? undefined : constantBefore(name, state)),
  );
  return before.every((name) => name !== undefined) ? before : undefined;
}

/** One value, or one a channel: [C] → [C, 1, 1]. */
function constantBefore(name: string, { index, newName }: SinkState): string | undefined {
  const tensor = index.initializers.get(name);
  if (tensor === undefined || !isPerChannel(tensor)) return undefined;
  const count = elementCount(tensor);
  if (count === 1) return name;
  const turned = newName(`${name}_channels_first`);
  index.addInitializer(makeTensor(turned, [count, 1, 1], readFloats(tensor)));
  return turned;
}

/** Begins of all four axes, then their ends. */
function padsBefore(node: OnnxNode, { index, newName }: SinkState): string | undefined {
  const tensor = index.initializers.get(node.input[1] ?? '');
  if (tensor?.dims.join() !== String(2 * CHANNELS_LAST.length)) return undefined;
  const pads = readIntegers(tensor);
  const turned = [0, CHANNELS_LAST.length].flatMap((end) =>
    CHANNELS_FIRST.map((axis) => BigInt(pads[end + axis]!)),
  ); // of eight
  const name = newName(`${node.input[1] ?? ''}_channels_first`);
  index.addInitializer(makeTensor(name, [turned.length], BigInt64Array.from(turned)));
  return name;
}

function axisBefore(axis: number): number {
  return CHANNELS_LAST[axis < 0 ? axis + CHANNELS_LAST.length : axis] ?? axis;
}
