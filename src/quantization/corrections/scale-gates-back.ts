import { makeNode, makeTensor } from '../../onnx/build.ts';
import { nameMaker } from '../../onnx/graph-edit.ts';
import type { OnnxGraph } from '../../onnx/model.ts';
import { channelFlow } from './channel-flow.ts';

/**
 * Writes the x + c of each HardSwish whose input has its channels scaled, x' = s · x, as a convolution
 * that takes each channel by itself, x' / s + c, in place. The product x' · clip(x' / s + c, 0, 1 / α) is
 * s · HardSwish(x) then, channel by channel, though HardSwish is not homogeneous.
 */
export function scaleGatesBack(
  graph: OnnxGraph,
  scales: ReadonlyMap<string, readonly number[]>,
): void {
  const newName = nameMaker(graph);
  for (const step of channelFlow(graph)) {
    const known = step.kind === 'gate' ? scales.get(step.input) : undefined;
    if (step.kind !== 'gate' || known === undefined) continue;
    const { node, input, shift } = step;
    const [name = ''] = node.output;
    const [weights, bias] = [newName(`${name}_weights`), newName(`${name}_bias`)];
    const group = known.length;
    graph.initializer.push(
      makeTensor(
        weights,
        [group, 1, 1, 1],
        Float32Array.from(known, (scale) => 1 / scale),
      ),
      makeTensor(bias, [group], new Float32Array(group).fill(shift)),
    );
    const convolution = makeNode({
      opType: 'Conv',
      name: node.name,
      inputs: [input, weights, bias],
      outputs: node.output,
      attributes: { group, kernel_shape: [1, 1] },
    });
    graph.node[graph.node.indexOf(node)] = convolution;
  }
}
