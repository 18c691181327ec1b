import { indexGraph, innerGraphs, innerReads, renameUses, type GraphIndex } from './graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from './model.ts';

/**
 * An index that follows the changes made through it, each in the time that the tensors it touches take:
 * a pass that changes something at every layer would else read the whole graph anew for each. Nodes
 * enter and leave `graph.node` with `settle` only. Consumers are in no order.
 */
export interface LiveIndex extends GraphIndex {
  readonly addInitializer: (tensor: Initializer) => void;
  readonly setInputs: (node: OnnxNode, inputs: readonly string[]) => void;
  readonly setOutputs: (node: OnnxNode, outputs: readonly string[]) => void;
  /** Makes every reader of `from` read `to`, those in branches and loop bodies too. */
  readonly replaceUses: (from: string, to: string) => void;
  /** Puts `made`, new nodes, where `node` stood; nothing removes it. */
  readonly replaceNode: (node: OnnxNode, made?: readonly OnnxNode[]) => void;
  /** Removes `node` and lets `source` stand for its first output; keeps the names of graph outputs. */
  readonly bypass: (node: OnnxNode, source: string) => void;
  /** Brings `graph.node` up to date. */
  readonly settle: () => void;
}

export function createLiveIndex(graph: OnnxGraph): LiveIndex {
  const found = indexGraph(graph);
  const producers = new Map(found.producers);
  const consumers = new Map([...found.consumers].map(([name, nodes]) => [name, [...nodes]]));
  const initializers = new Map(found.initializers);
  const replaced = new Map<OnnxNode, readonly OnnxNode[]>();
  const index = { ...found, producers, consumers, initializers };

  const addReads = (node: OnnxNode): void => {
    for (const name of readsOf(node)) {
      const known = consumers.get(name);
      if (known === undefined) consumers.set(name, [node]);
      else known.push(node);
    }
  };
  const removeReads = (node: OnnxNode): void => {
    for (const name of readsOf(node)) {
      const known = consumers.get(name);
      const place = known?.indexOf(node) ?? -1;
      if (known === undefined || place === -1) continue;
      const last = known.pop()!; // it holds the node
      if (place < known.length) known[place] = last;
    }
  };
  const removeOutputs = (node: OnnxNode): void => {
    for (const name of node.output) if (producers.get(name) === node) producers.delete(name);
  };
  const addOutputs = (node: OnnxNode): void => {
    for (const name of node.output) if (name !== '') producers.set(name, node);
  };

  const setInputs: LiveIndex['setInputs'] = (node, inputs) => {
    removeReads(node);
    node.input = [...inputs];
    addReads(node);
  };
  const setOutputs: LiveIndex['setOutputs'] = (node, outputs) => {
    removeOutputs(node);
    node.output = [...outputs];
    addOutputs(node);
  };
  const replaceUses: LiveIndex['replaceUses'] = (from, to) => {
    const names = new Map([[from, to]]);
    for (const node of new Set(consumers.get(from))) {
      removeReads(node);
      node.input = node.input.map((name) => names.get(name) ?? name);
      for (const inner of innerGraphs(node)) renameUses(inner, names, 'inner');
      addReads(node);
    }
  };
  const replaceNode: LiveIndex['replaceNode'] = (node, made = []) => {
    removeReads(node);
    removeOutputs(node);
    replaced.set(node, made);
    for (const each of made) {
      addReads(each);
      addOutputs(each);
    }
  };
  const bypass: LiveIndex['bypass'] = (node, source) => {
    const output = node.output[0] ?? '';
    if (!index.outputs.has(output)) {
      replaceUses(output, source);
      replaceNode(node);
      return;
    }
    const producer = producers.get(source);
    if (producer === undefined || index.outputs.has(source)) return; // an input that is an output needs its Identity
    replaceNode(node);
    setOutputs(
      producer,
      producer.output.map((name) => (name === source ? output : name)),
    );
    replaceUses(source, output);
  };
  return {
    ...index,
    addInitializer: (tensor) => {
      graph.initializer.push(tensor);
      initializers.set(tensor.name, tensor);
    },
    setInputs,
    setOutputs,
    replaceUses,
    replaceNode,
    bypass,
    settle: () => {
      if (replaced.size > 0) graph.node = graph.node.flatMap((node) => replaced.get(node) ?? node);
      replaced.clear();
    },
  };
}

/** One entry a use, as in `GraphIndex`. */
function readsOf(node: OnnxNode): string[] {
  return [...node.input, ...innerReads(node)].filter((name) => name !== '');
}
