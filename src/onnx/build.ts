import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
} from './generated/onnx_pb.ts';
import type { Initializer, OnnxModel, OnnxNode, ValueInfo } from './model.ts';

/** An integer is an `int`, `{ float }` a `float`: JavaScript cannot tell 1 from 1.0. */
export type AttributeValue =
  | number
  | string
  | { readonly float: number }
  | readonly number[]
  | { readonly tensor: Initializer };

export interface NodeSpec {
  readonly opType: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly domain?: string;
}

export function makeNode({
  opType,
  name,
  inputs,
  outputs,
  attributes = {},
  domain,
}: NodeSpec): OnnxNode {
  return create(NodeProtoSchema, {
    opType,
    name,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([key, value]) => makeAttribute(key, value)),
    ...(domain === undefined ? {} : { domain }),
  });
}

export function makeAttribute(name: string, value: AttributeValue): AttributeProto {
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: int64Of(value) });
  }
  if (typeof value === 'string') {
    const s = new TextEncoder().encode(value);
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s });
  }
  if ('float' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  }
  if ('tensor' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.TENSOR, t: value.tensor });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(int64Of) });
}

export type TensorData = Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;

/** The nearest int64: 2^63 - 1, "to the end" in a Slice, is 2^63 as a number. */
export function int64Of(value: number): bigint {
  const integer = BigInt(value);
  if (integer > MAX_INT64) return MAX_INT64;
  return integer < -MAX_INT64 ? -MAX_INT64 : integer;
}

const MAX_INT64 = 2n ** 63n - 1n;

/** A list of int64, as shapes, axes and pads are. */
export function makeIntegers(name: string, values: readonly number[]): Initializer {
  return makeTensor(name, [values.length], BigInt64Array.from(values, int64Of));
}

/** An initializer with raw little-endian data; `dims: []` makes a scalar. */
export function makeTensor(name: string, dims: readonly number[], data: TensorData): Initializer {
  return wrapTensor(name, dims, data.slice());
}

/** The same without a copy: `data` is the tensor's own from now on. */
export function wrapTensor(name: string, dims: readonly number[], data: TensorData): Initializer {
  return create(TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: dataTypeOf(data),
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

function dataTypeOf(data: TensorData): DataType {
  if (data instanceof Float32Array) return DataType.FLOAT;
  if (data instanceof Int8Array) return DataType.INT8;
  if (data instanceof Uint8Array) return DataType.UINT8;
  return data instanceof Int32Array ? DataType.INT32 : DataType.INT64;
}

/**
 * A float32 graph input or output; a string dimension is dynamic and named so. `any`: rank and sizes
 * are left to onnxruntime.
 */
export function makeValueInfo(
  name: string,
  dims: readonly (number | string)[] | 'any',
  elementType: number = DataType.FLOAT,
): ValueInfo {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: elementType,
          ...(dims === 'any' ? {} : { shape: { dim: dims.map(dimensionOf) } }),
        },
      },
    },
  });
}

function dimensionOf(dim: number | string) {
  return typeof dim === 'number'
    ? { value: { case: 'dimValue' as const, value: BigInt(dim) } }
    : { value: { case: 'dimParam' as const, value: dim } };
}

export interface ModelSpec {
  readonly graphName: string;
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: readonly Initializer[];
  readonly opset: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A model of IR version 8 (opset 15 to 19 belong to it; every onnxruntime since 1.10 reads it). */
export function makeModel(spec: ModelSpec): OnnxModel {
  return create(ModelProtoSchema, {
    irVersion: 8n,
    producerName: 'drq',
    opsetImport: [{ domain: '', version: BigInt(spec.opset) }],
    graph: create(GraphProtoSchema, {
      name: spec.graphName,
      node: [...spec.nodes],
      input: [...spec.inputs],
      output: [...spec.outputs],
      initializer: [...spec.initializers],
    }),
    metadataProps: Object.entries(spec.metadata ?? {}).map(([key, value]) => ({ key, value })),
  });
}
