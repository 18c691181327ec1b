import { clearField } from '@bufbuild/protobuf';
import { NodeProtoSchema, TensorProtoSchema, ValueInfoProtoSchema } from '../generated/onnx_pb.ts';
import { innerGraphs } from '../graph-edit.ts';
import type { OnnxGraph, OnnxModel, OnnxNode } from '../model.ts';

/**
 * Removes what exporters note at nodes and tensors, in place: PyTorch's writes the stack trace of each, with
 * paths of the machine that it ran on, up to a third of a small int8 model. The model's own notes and
 * the texts of its inputs and outputs stay.
 */
export function dropNotes(model: OnnxModel): void {
  if (model.graph !== undefined) dropOfGraph(model.graph);
  for (const { node } of model.functions) dropOfNodes(node);
}

function dropOfGraph(graph: OnnxGraph): void {
  dropOfNodes(graph.node);
  graph.metadataProps = [];
  for (const tensor of graph.initializer) {
    clearField(tensor, TensorProtoSchema.field.docString);
    tensor.metadataProps = [];
  }
  for (const value of graph.valueInfo) clearField(value, ValueInfoProtoSchema.field.docString);
  for (const value of [...graph.valueInfo, ...graph.input, ...graph.output]) {
    value.metadataProps = [];
  }
}

function dropOfNodes(nodes: readonly OnnxNode[]): void {
  for (const node of nodes) {
    clearField(node, NodeProtoSchema.field.docString);
    node.metadataProps = [];
    innerGraphs(node).forEach(dropOfGraph);
  }
}
