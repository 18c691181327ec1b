import { indexGraph } from '../../onnx/graph-edit.ts';
import type { OnnxGraph } from '../../onnx/model.ts';
import { channelFlow, type ChannelStep } from './channel-flow.ts';

/**
 * Channels that must be scaled together: an Add wants the same scale of both its inputs, so all that
 * is ever added to a residual network's stream, and all that reads the stream, share the scales of its
 * channels; a Concat hands on those of each input.
 */
export interface ChannelClasses {
  /** The class of each channel of a tensor; of those that only layers, Relu, HardSwish, gates, pools, Add and Concat touch. */
  readonly tensors: ReadonlyMap<string, Int32Array>;
  /** Whether the weights of any layer mix the class with others, and pay for its scale. */
  readonly isMixed: (channel: number) => boolean;
  /** Whether something reads the class that no scale may reach. */
  readonly isFixed: (channel: number) => boolean;
  /** Tensors with scales in common have the same group. */
  readonly groupOf: (tensor: string) => number;
  /** Upper bound of the Clip that made a tensor; Infinity for all others. */
  readonly boundOf: (tensor: string) => number;
  /** What a HardSwish behind it makes of lesser values is the same; -Infinity elsewhere. */
  readonly leastOf: (tensor: string) => number;
  readonly isRectified: (tensor: string) => boolean;
  /** [N, C, H, W], not [N, C]. */
  readonly isSpatial: (tensor: string) => boolean;
  /** Outputs of the layers whose weights make the scales. */
  readonly layerOutputs: ReadonlySet<string>;
  /** Tensors whose own codes a layer or an Add reads: not what only a Relu or a Clip takes. */
  readonly activations: readonly string[];
}

export function findChannelClasses(graph: OnnxGraph): ChannelClasses {
  const channels = disjointSets();
  const groups = disjointSets();
  const tensors = new Map<string, Int32Array>();
  const tensorGroups = new Map<string, number>();
  const mixed = new Set<number>();
  const fixed = new Set<number>();
  const bounds = new Map<string, number>();
  const layerOutputs = new Set<string>();
  const flat = new Set<string>();
  const least = new Map<string, number>();
  const fix = (tensor: string): void => {
    for (const channel of tensors.get(tensor) ?? []) fixed.add(channel);
  };
  const join = (output: string, classes: Int32Array, inputs: readonly string[]): void => {
    tensors.set(output, classes);
    const group = groups.add();
    tensorGroups.set(output, group);
    for (const input of inputs) groups.unite(group, tensorGroups.get(input) ?? group);
  };
  for (const step of channelFlow(graph)) {
    const [output = ''] = step.node.output;
    switch (step.kind) {
      case 'layer': {
        const [input = ''] = step.node.input;
        const read = tensors.get(input);
        if (read === undefined || step.reading?.channelCount !== read.length) fix(input);
        else if (step.reading.connection === 'full') read.forEach((channel) => mixed.add(channel));
        join(output, Int32Array.from({ length: step.channelCount }, channels.add), []);
        layerOutputs.add(output);
        if (step.node.opType === 'Gemm') flat.add(output);
        break;
      }
      case 'same': {
        const known = sameLength(step, tensors);
        if (known === null) {
          step.inputs.forEach(fix);
          break;
        }
        for (const other of known) {
          known[0]!.forEach((channel, c) => channels.unite(channel, other[c]!)); // of one length
        }
        join(output, known[0]!, step.inputs);
        if (step.bound !== undefined) bounds.set(output, step.bound);
        if (step.node.opType === 'Flatten' || step.inputs.some((input) => flat.has(input)))
          flat.add(output);
        break;
      }
      case 'gated': {
        const [scaled, ...others] = step.inputs.filter((input) => tensors.has(input));
        if (scaled === undefined || others.length > 0) step.inputs.forEach(fix);
        else {
          join(output, tensors.get(scaled)!, [scaled]); // it is there
          if (flat.has(scaled)) flat.add(output);
        }
        break;
      }
      case 'gate':
        least.set(step.input, -step.shift);
        break;
      case 'joined': {
        const known = step.inputs.map((input) => tensors.get(input));
        if (known.some((part) => part === undefined)) step.inputs.forEach(fix);
        else {
          const parts = known.flatMap((part) => [...part!]); // all are known
          join(output, Int32Array.from(parts), step.inputs);
          if (step.inputs.some((input) => flat.has(input))) flat.add(output);
        }
        break;
      }
      case 'other':
        step.inputs.forEach(fix);
    }
  }
  for (const { name } of graph.output) fix(name);
  const rootsOf = (found: ReadonlySet<number>): ReadonlySet<number> =>
    new Set([...found].map(channels.rootOf));
  const [mixedRoots, fixedRoots] = [rootsOf(mixed), rootsOf(fixed)];
  return {
    tensors: new Map([...tensors].map(([name, classes]) => [name, classes.map(channels.rootOf)])),
    isMixed: (channel) => mixedRoots.has(channel),
    isFixed: (channel) => fixedRoots.has(channel),
    groupOf: (tensor) => groups.rootOf(tensorGroups.get(tensor)!),
    boundOf: (tensor) => bounds.get(tensor) ?? Infinity,
    leastOf: (tensor) => least.get(tensor) ?? -Infinity,
    isRectified: (tensor) => bounds.has(tensor),
    isSpatial: (tensor) => !flat.has(tensor),
    layerOutputs,
    activations: activationsOf(graph, tensors, bounds),
  };
}

/** The classes of all inputs, where they are known and as many. */
function sameLength(
  { inputs }: Extract<ChannelStep, { kind: 'same' }>,
  tensors: ReadonlyMap<string, Int32Array>,
): Int32Array[] | null {
  const known = inputs.flatMap((input) => tensors.get(input) ?? []);
  const areSame =
    known.length === inputs.length && known.every(({ length }) => length === known[0]!.length);
  return areSame ? known : null;
}

function activationsOf(
  graph: OnnxGraph,
  tensors: ReadonlyMap<string, Int32Array>,
  bounds: ReadonlyMap<string, number>,
): string[] {
  const { consumers, producers } = indexGraph(graph);
  return [...tensors.keys()].filter((tensor) => {
    const producer = producers.get(tensor)!; // a step made it
    if (producer.opType.endsWith('Pool') || producer.opType === 'Flatten') return false;
    const readers = consumers.get(tensor) ?? [];
    return !(readers.length === 1 && bounds.has(readers[0]!.output[0] ?? ''));
  });
}

interface DisjointSets {
  readonly add: () => number;
  readonly unite: (a: number, b: number) => void;
  readonly rootOf: (element: number) => number;
}

function disjointSets(): DisjointSets {
  const parents: number[] = [];
  const rootOf = (element: number): number => {
    let root = element;
    while (parents[root] !== root) root = parents[root]!; // every element has a parent
    for (let next = element; next !== root;) {
      const parent = parents[next]!;
      parents[next] = root;
      next = parent;
    }
    return root;
  };
  return {
    add: () => parents.push(parents.length) - 1,
    unite: (a, b) => {
      parents[rootOf(a)] = rootOf(b);
    },
    rootOf,
  };
}
