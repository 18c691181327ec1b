/**
 * A model is the protobuf message itself, so that fields this project does not know survive a read
 * and a write. Transforms take a model they own and change it in place; `cloneModel` gives one.
 */
export type {
  AttributeProto as OnnxAttribute,
  GraphProto as OnnxGraph,
  ModelProto as OnnxModel,
  NodeProto as OnnxNode,
  TensorProto as Initializer,
  ValueInfoProto as ValueInfo,
} from './generated/onnx_pb.ts';
import { clone } from '@bufbuild/protobuf';
import { ModelProtoSchema, type GraphProto, type ModelProto } from './generated/onnx_pb.ts';
import { OnnxError } from '../diagnostics/errors.ts';

export function cloneModel(model: ModelProto): ModelProto {
  return clone(ModelProtoSchema, model);
}

/** The model's graph. @throws OnnxError `onnx/no-graph` when there is none. */
export function graphOf(model: ModelProto): GraphProto {
  if (model.graph === undefined) {
    throw new OnnxError({ code: 'onnx/no-graph', message: 'the ONNX model holds no graph' });
  }
  return model.graph;
}
