import { OnnxError } from '../diagnostics/errors.ts';
import type { Initializer, OnnxGraph, OnnxNode } from './model.ts';

/** Who makes and who reads each tensor of a graph, as it was when the index was made. */
export interface GraphIndex {
  readonly producers: ReadonlyMap<string, OnnxNode>;
  /** One entry a use: a node that reads a tensor twice stands twice. */
  readonly consumers: ReadonlyMap<string, readonly OnnxNode[]>;
  readonly initializers: ReadonlyMap<string, Initializer>;
  /** Graph inputs that are no initializers (older models list those too). */
  readonly inputs: ReadonlySet<string>;
  readonly outputs: ReadonlySet<string>;
}

export function indexGraph(graph: OnnxGraph): GraphIndex {
  const producers = new Map<string, OnnxNode>();
  const consumers = new Map<string, OnnxNode[]>();
  for (const node of graph.node) {
    for (const output of node.output) if (output !== '') producers.set(output, node);
    for (const input of [...node.input, ...innerReads(node)]) {
      if (input === '') continue;
      const known = consumers.get(input);
      if (known === undefined) consumers.set(input, [node]);
      else known.push(node);
    }
  }
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const inputs = new Set(
    graph.input.map((input) => input.name).filter((name) => !initializers.has(name)),
  );
  return {
    producers,
    consumers,
    initializers,
    inputs,
    outputs: new Set(graph.output.map((output) => output.name)),
  };
}

/** The node that alone reads `tensor`, or undefined when there is another reader or it is a graph output. */
export function soleConsumer(index: GraphIndex, tensor: string): OnnxNode | undefined {
  const consumers = index.consumers.get(tensor) ?? [];
  return consumers.length === 1 && !index.outputs.has(tensor) ? consumers[0] : undefined;
}

/** What a node is called in messages: its name, or its kind and first output where it has none. */
export function shownNode(node: OnnxNode): string {
  return node.name === '' ? `${node.opType} → ${node.output[0] ?? '?'}` : node.name;
}

/**
 * Makes every reader of a tensor in `names` read the one it stands for, in one walk over all nodes, those
 * in branches and loop bodies too; the outputs of an `inner` graph are readers as well.
 */
export function renameUses(
  graph: OnnxGraph,
  names: ReadonlyMap<string, string>,
  place: 'outer' | 'inner' = 'outer',
): void {
  for (const node of graph.node) {
    for (const [i, name] of node.input.entries()) node.input[i] = names.get(name) ?? name;
    for (const inner of innerGraphs(node)) renameUses(inner, names, 'inner');
  }
  if (place === 'outer') return;
  for (const output of graph.output) output.name = names.get(output.name) ?? output.name;
}

/** Tensors from outside that the branches or the loop body of a node read. */
export function innerReads(node: OnnxNode): readonly string[] {
  const inner = innerGraphs(node);
  if (inner.length === 0) return NONE;
  return inner.flatMap((graph) => {
    const own = new Set([
      ...graph.input.map(({ name }) => name),
      ...graph.initializer.map(({ name }) => name),
      ...graph.node.flatMap(({ output }) => output),
    ]);
    const read = [
      ...graph.node.flatMap((inner) => [...inner.input, ...innerReads(inner)]),
      ...graph.output.map(({ name }) => name),
    ];
    return read.filter((name) => name !== '' && !own.has(name));
  });
}

/** Branches and loop bodies. Asked of every node again and again; next to none has any. */
export function innerGraphs(node: OnnxNode): readonly OnnxGraph[] {
  if (!hasGraphs(node)) return NONE;
  return node.attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** Whether the node has branches or a loop body. */
export function hasGraphs({ attribute }: OnnxNode): boolean {
  return attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0);
}

const NONE: readonly never[] = [];

/** Whether it is one of ONNX's own operators, and no function or operator of another domain of that name. */
export function isStandard({ domain }: OnnxNode): boolean {
  return domain === '' || domain === 'ai.onnx';
}

/** A function that makes names no tensor, node or initializer of the graph, or of one inside it, has yet. */
export function nameMaker(graph: OnnxGraph): (wanted: string) => string {
  const taken = new Set<string>();
  const take = ({ node: nodes, initializer, input, output }: OnnxGraph): void => {
    for (const node of nodes) {
      taken.add(node.name);
      for (const name of [...node.input, ...node.output]) taken.add(name);
      for (const inner of innerGraphs(node)) take(inner);
    }
    for (const { name } of [...initializer, ...input, ...output]) taken.add(name);
  };
  take(graph);
  return (wanted) => {
    let name = wanted;
    for (let suffix = 2; taken.has(name); suffix += 1) name = `${wanted}_${suffix}`;
    taken.add(name);
    return name;
  };
}

/** Drops initializers nobody reads, and graph inputs that only named an initializer. */
export function pruneInitializers(graph: OnnxGraph): void {
  const used = new Set(graph.node.flatMap((node) => [...node.input, ...innerReads(node)]));
  for (const { name } of graph.output) used.add(name);
  const names = new Set(graph.initializer.map((tensor) => tensor.name));
  graph.input = graph.input.filter((input) => !names.has(input.name));
  graph.initializer = graph.initializer.filter((tensor) => used.has(tensor.name));
}

/** Drops nodes whose outputs nobody reads. */
export function pruneNodes(graph: OnnxGraph): void {
  const needed = new Set(graph.output.map((output) => output.name));
  const kept: OnnxNode[] = [];
  for (const node of [...graph.node].reverse()) {
    if (!node.output.some((name) => needed.has(name))) continue;
    kept.push(node);
    for (const name of [...node.input, ...innerReads(node)]) needed.add(name);
  }
  graph.node = kept.reverse();
}

/**
 * Puts the nodes in an order in which every tensor is made before it is read; nodes already in
 * order keep it. @throws OnnxError `onnx/cycle` naming a node of the cycle.
 */
export function sortNodes(graph: OnnxGraph): void {
  const { producers } = indexGraph(graph);
  const sorted: OnnxNode[] = [];
  const state = new Map<OnnxNode, 'open' | 'done'>();
  for (const start of graph.node) {
    const stack = [start];
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!; // the stack is not empty
      if (state.get(node) === 'done') {
        stack.pop();
        continue;
      }
      state.set(node, 'open');
      const waiting = [...node.input, ...innerReads(node)]
        .map((name) => producers.get(name))
        .filter((producer) => producer !== undefined && state.get(producer) !== 'done');
      if (waiting.length === 0) {
        state.set(node, 'done');
        sorted.push(node);
        stack.pop();
        continue;
      }
      for (const producer of waiting) {
        if (state.get(producer!) === 'open') throw cycle(producer!); // waiting holds no undefined
        stack.push(producer!);
      }
    }
  }
  graph.node = sorted;
}

function cycle(node: OnnxNode): OnnxError {
  return new OnnxError({
    code: 'onnx/cycle',
    message: `node "${shownNode(node)}" (${node.opType}) depends on its own output`,
    hint: 'the nodes of an ONNX graph must not form a cycle',
  });
}
