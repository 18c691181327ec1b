/**
 * A model is the protobuf message itself, so that fields this project does not know survive a read
 * and a write. Transforms take a model they own and change it in place; `cloneModel` gives one.
 */
export type {
  AttributeProto as OnnxAttribute,
  FunctionProto as OnnxFunction,
  GraphProto as OnnxGraph,
  ModelProto as OnnxModel,
  NodeProto as OnnxNode,
  OperatorSetIdProto as OnnxOperatorSet,
  SparseTensorProto as OnnxSparseTensor,
  StringStringEntryProto as OnnxMetadata,
  TensorAnnotation as OnnxTensorAnnotation,
  TensorProto_Segment as OnnxTensorSegment,
  TrainingInfoProto as OnnxTraining,
  TypeProto as OnnxType,
  TypeProto_Map as OnnxTypeMap,
  TypeProto_Opaque as OnnxTypeOpaque,
  TypeProto_Optional as OnnxTypeOptional,
  TypeProto_Sequence as OnnxTypeSequence,
  TypeProto_SparseTensor as OnnxTypeSparseTensor,
  TypeProto_Tensor as OnnxTypeTensor,
  TensorProto as Initializer,
  ValueInfoProto as ValueInfo,
} from './generated/onnx_pb.ts';
import { clone, isFieldSet, isMessage } from '@bufbuild/protobuf';
import {
  ModelProtoSchema,
  TensorProtoSchema,
  type GraphProto,
  type ModelProto,
  type TensorProto,
} from './generated/onnx_pb.ts';
import { OnnxError } from '../diagnostics/errors.ts';

/**
 * A copy that shares nothing with `model` but the bytes of its initializers, which nothing changes in
 * place: whoever wants other weights makes another tensor. So a copy costs no second set of weights.
 */
export function cloneModel(model: ModelProto): ModelProto {
  const { graph } = model;
  if (graph === undefined) return clone(ModelProtoSchema, model);
  const copy = clone(ModelProtoSchema, { ...model, graph: { ...graph, initializer: [] } });
  graphOf(copy).initializer = graph.initializer.map(cloneTensor);
  return copy;
}

function cloneTensor(tensor: TensorProto): TensorProto {
  if (!isFieldSet(tensor, TensorProtoSchema.field.rawData)) return clone(TensorProtoSchema, tensor);
  const copy = clone(TensorProtoSchema, { ...tensor, rawData: new Uint8Array() });
  copy.rawData = tensor.rawData;
  return copy;
}

/** Whether a value of unknown origin is a model as `readOnnx` gives it. */
export function isOnnxModel(value: unknown): value is ModelProto {
  return isMessage(value, ModelProtoSchema);
}

/** The model's graph. @throws OnnxError `onnx/no-graph` when there is none. */
export function graphOf(model: ModelProto): GraphProto {
  if (model.graph === undefined) {
    throw new OnnxError({ code: 'onnx/no-graph', message: 'the ONNX model holds no graph' });
  }
  return model.graph;
}
