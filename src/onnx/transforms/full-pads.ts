import { makeIntegers } from '../build.ts';
import { indexGraph, nameMaker } from '../graph-edit.ts';
import type { OnnxGraph } from '../model.ts';
import { inferGraph } from '../shape-inference.ts';
import { readIntegers } from '../tensor-data.ts';

/** Writes pads of some axes only (an input of Pad from opset 18 on) as pads of all, where they are constant. */
export function fullPads(graph: OnnxGraph): void {
  if (!graph.node.some(({ opType, input }) => opType === 'Pad' && (input[3] ?? '') !== '')) return;
  const { shapes } = inferGraph(graph);
  const { initializers } = indexGraph(graph);
  const newName = nameMaker(graph);
  for (const node of graph.node) {
    const [input = '', pads = '', , axes = ''] = node.input;
    const [given, chosen] = [initializers.get(pads), initializers.get(axes)];
    const rank = shapes.get(input)?.length;
    if (node.opType !== 'Pad' || given === undefined || chosen === undefined || !rank) continue;
    const values = readIntegers(given);
    const positions = readIntegers(chosen).map((axis) => (axis < 0 ? axis + rank : axis));
    const all = new Array<number>(2 * rank).fill(0);
    for (const [i, axis] of positions.entries()) {
      all[axis] = values[i] ?? 0;
      all[axis + rank] = values[i + positions.length] ?? 0;
    }
    const name = newName(`${pads}_of_all_axes`);
    graph.initializer.push(makeIntegers(name, all));
    node.input[1] = name;
    node.input = node.input.slice(0, 3);
  }
}
