import { attributeOf, floatOf, tensorOf } from '../attributes.ts';
import { makeTensor } from '../build.ts';
import { bypassNode } from '../graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { clone } from '@bufbuild/protobuf';
import { TensorProtoSchema } from '../generated/onnx_pb.ts';

/** Turns Constant nodes into initializers and removes Identity and (at inference) Dropout. */
export function foldConstants(graph: OnnxGraph): void {
  graph.node = graph.node.filter((node) => {
    if (node.opType !== 'Constant') return true;
    const tensor = constantTensor(node);
    if (tensor === undefined) return true;
    graph.initializer.push(tensor);
    return false;
  });
  for (const node of [...graph.node]) {
    const source = node.input[0] ?? '';
    if (node.opType === 'Identity' || (node.opType === 'Dropout' && maskIsUnused(graph, node))) {
      bypassNode(graph, node, source);
    }
  }
}

function constantTensor(node: OnnxNode): Initializer | undefined {
  const name = node.output[0] ?? '';
  const tensor = tensorOf(node, 'value');
  if (tensor !== undefined) {
    const copy = clone(TensorProtoSchema, tensor);
    copy.name = name;
    return copy;
  }
  if (attributeOf(node, 'value_float') !== undefined) {
    return makeTensor(name, [], Float32Array.of(floatOf(node, 'value_float', 0)));
  }
  const floats = attributeOf(node, 'value_floats')?.floats;
  if (floats !== undefined) return makeTensor(name, [floats.length], Float32Array.from(floats));
  const integer = attributeOf(node, 'value_int')?.i;
  if (integer !== undefined) return makeTensor(name, [], BigInt64Array.of(integer));
  const integers = attributeOf(node, 'value_ints')?.ints;
  if (integers === undefined) return undefined;
  return makeTensor(name, [integers.length], BigInt64Array.from(integers));
}

/** A Dropout whose mask somebody reads stays; its training_mode input is false in exported models. */
function maskIsUnused(graph: OnnxGraph, dropout: OnnxNode): boolean {
  const mask = dropout.output[1];
  if (mask === undefined || mask === '') return true;
  return !graph.node.some((node) => node.input.includes(mask));
}
