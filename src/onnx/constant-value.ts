import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import type { Initializer } from './model.ts';
import { int64Of, makeTensor } from './build.ts';
import { dimsOf, elementCount, readFloats, readIntegers } from './tensor-data.ts';

/**
 * What is known of a tensor's values before the model runs. In integer tensors NaN stands for an
 * element that is not known, such as the batch size among the dimensions of a shape.
 */
export interface ConstantValue {
  readonly type: 'float' | 'int64' | 'int32' | 'bool';
  readonly dims: readonly number[];
  /** Float32Array for `float`, Float64Array for the others. */
  readonly data: Float32Array | Float64Array;
}

/** More elements are not computed ahead: 512 MB as float32; VGG's largest layer has 103 million. */
export const MAX_CONSTANT_ELEMENTS = 2 ** 27;

const FLOAT: number = DataType.FLOAT;
const INT64: number = DataType.INT64;
const INT32: number = DataType.INT32;

/** The value of an initializer of one of the types handled, else undefined. */
export function constantOf(tensor: Initializer): ConstantValue | undefined {
  if (elementCount(tensor) > MAX_CONSTANT_ELEMENTS) return undefined;
  const dims = dimsOf(tensor);
  if (tensor.dataType === FLOAT) return { type: 'float', dims, data: readFloats(tensor) };
  if (tensor.dataType !== INT64 && tensor.dataType !== INT32) return undefined;
  const type = tensor.dataType === INT64 ? 'int64' : 'int32';
  return { type, dims, data: Float64Array.from(readIntegers(tensor)) };
}

/** An initializer with this value, which must be known throughout and no `bool`. */
export function initializerOf(name: string, { type, dims, data }: ConstantValue): Initializer {
  if (data instanceof Float32Array) return makeTensor(name, dims, data);
  return type === 'int32'
    ? makeTensor(name, dims, Int32Array.from(data))
    : makeTensor(name, dims, BigInt64Array.from(data, int64Of));
}

export function isFullyKnown({ type, data }: ConstantValue): boolean {
  return type === 'float' || data.every((value) => !Number.isNaN(value));
}

/** Number of elements of these dimensions; NaN where one is not known. */
export function productOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}
