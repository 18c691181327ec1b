import { makeNode } from '../build.ts';
import { indexGraph, nameMaker, soleConsumer } from '../graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { CHANNELS_FIRST, CHANNELS_LAST, isArithmetic, isPerChannel, turns } from './transposes.ts';

/**
 * Turns the input of a network with channels last to channels first and back again, where numbers are
 * added to it and multiplied with it before its own Transpose to channels first, as in Keras's
 * preprocessing layers: once `sinkTransposes` has brought both together, the arithmetic stands behind
 * the one that is left, where it can be folded into the first convolution.
 */
export function liftTranspose(graph: OnnxGraph): void {
  const index = indexGraph(graph);
  const tensors = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const input of index.inputs) {
    const reader = soleConsumer(index, input);
    let node = reader;
    while (node !== undefined && isWithConstants(node, tensors)) {
      node = soleConsumer(index, node.output[0] ?? '');
    }
    if (reader === undefined || node === undefined || node === reader) continue;
    if (!turns(node, CHANNELS_FIRST) || rankOf(graph, input) !== CHANNELS_FIRST.length) continue;
    const newName = nameMaker(graph);
    const [turned, back] = [newName(`${input}_first`), newName(`${input}_last`)];
    reader.input = reader.input.map((name) => (name === input ? back : name));
    graph.node.unshift(
      transpose(input, turned, CHANNELS_FIRST),
      transpose(turned, back, CHANNELS_LAST),
    );
  }
}

/** One operand is a number, or one a channel. */
function isWithConstants(node: OnnxNode, tensors: ReadonlyMap<string, Initializer>): boolean {
  return (
    isArithmetic(node) &&
    node.input.some((name) => {
      const tensor = tensors.get(name);
      return tensor !== undefined && isPerChannel(tensor);
    })
  );
}

function rankOf(graph: OnnxGraph, input: string): number | undefined {
  const type = graph.input.find(({ name }) => name === input)?.type?.value;
  return type?.case === 'tensorType' ? type.value.shape?.dim.length : undefined;
}

function transpose(input: string, output: string, perm: readonly number[]): OnnxNode {
  const attributes = { perm: [...perm] };
  return makeNode({
    opType: 'Transpose',
    name: output,
    inputs: [input],
    outputs: [output],
    attributes,
  });
}
