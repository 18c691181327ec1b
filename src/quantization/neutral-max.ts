import { makeNode, makeTensor } from '../onnx/build.ts';
import type { OnnxGraph } from '../onnx/model.ts';

const LEAST_FLOAT32 = -3.4028234663852886e38;

/**
 * Adds a Max of a tensor with the least float32, which changes no value and keeps onnxruntime from a
 * pattern across it; returns the tensor that it makes. `suffix` ends the node's name.
 */
export function addNeutralMax(
  graph: OnnxGraph,
  newName: (wanted: string) => string,
  tensor: string,
  suffix: string,
): string {
  const least = newName(`${tensor}_least`);
  const shielded = newName(`${tensor}_float`);
  graph.initializer.push(makeTensor(least, [], Float32Array.of(LEAST_FLOAT32)));
  graph.node.push(
    makeNode({
      opType: 'Max',
      name: newName(`${tensor}${suffix}`),
      inputs: [tensor, least],
      outputs: [shielded],
    }),
  );
  return shielded;
}
