import type { OnnxGraph } from '../../src/onnx/model.ts';

/**
 * Counts, from now on, how often the inputs of the graph's nodes and the names of its initializers are
 * asked for: work that is the same on every machine, where time is not.
 */
export function countReads(graph: OnnxGraph): () => number {
  let count = 0;
  const watch = <T extends object>(object: T, key: keyof T): void => {
    let value = object[key];
    Object.defineProperty(object, key, {
      enumerable: true,
      configurable: true,
      get: () => {
        count += 1;
        return value;
      },
      set: (next: T[keyof T]) => {
        value = next;
      },
    });
  };
  for (const node of graph.node) watch(node, 'input');
  for (const tensor of graph.initializer) watch(tensor, 'name');
  return () => count;
}
