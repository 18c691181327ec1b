import { makeNode } from '../build.ts';
import { nameMaker } from '../graph-edit.ts';
import type { OnnxGraph } from '../model.ts';

/** Writes each Sum of two or more tensors as Add nodes, which onnxruntime has in integers. */
export function splitSum(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  graph.node = graph.node.flatMap((node) => {
    if (node.opType !== 'Sum' || node.input.length < 2) return [node];
    const [output = ''] = node.output;
    let [sum = ''] = node.input;
    return node.input.slice(1).map((next, i) => {
      const isLast = i === node.input.length - 2;
      const result = isLast ? output : newName(`${output}_partial`);
      const add = makeNode({
        opType: 'Add',
        name: isLast && node.name !== '' ? node.name : newName(`${result}/add`),
        inputs: [sum, next],
        outputs: [result],
      });
      sum = result;
      return add;
    });
  });
}
