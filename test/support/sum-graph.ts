import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../src/onnx/build.ts';
import { graphOf, type OnnxGraph } from '../../src/onnx/model.ts';

/** Sums of x, the constants k and u, and what the others make: node i makes ti. */
export function graphWith(
  inputsOf: readonly (readonly string[])[],
  outputs: readonly string[],
): OnnxGraph {
  return graphOf(
    makeModel({
      graphName: 'g',
      opset: 17,
      inputs: [makeValueInfo('x', [1])],
      outputs: outputs.map((name) => makeValueInfo(name, [1])),
      initializers: [
        makeTensor('k', [1], Float32Array.of(1)),
        makeTensor('u', [1], Float32Array.of(1)),
      ],
      nodes: inputsOf.map((inputs, i) =>
        makeNode({ opType: 'Sum', name: `n${i}`, inputs, outputs: [`t${i}`] }),
      ),
    }),
  );
}
