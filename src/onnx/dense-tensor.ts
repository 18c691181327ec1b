import { makeTensor } from './build.ts';
import {
  initializerOf,
  MAX_CONSTANT_ELEMENTS,
  productOf,
  type ConstantValue,
} from './constant-value.ts';
import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import type { Initializer, OnnxSparseTensor } from './model.ts';
import { badTensor, dimsOf, readFloats, readIntegers } from './tensor-data.ts';

const TYPES: Readonly<Record<number, ConstantValue['type']>> = {
  [DataType.FLOAT]: 'float',
  [DataType.INT64]: 'int64',
  [DataType.INT32]: 'int32',
};

/**
 * The tensor written out, zeros where it names no value (SparseTensorProto in onnx.proto: places are
 * [NNZ] linear indices or [NNZ, rank] coordinates). Undefined where its element type is none of float32,
 * int64 and int32.
 * @throws OnnxError `onnx/bad-tensor` where it has more elements than are computed ahead, or a place
 * outside.
 */
export function denseTensor(name: string, sparse: OnnxSparseTensor): Initializer | undefined {
  const dims = sparse.dims.map(Number);
  const shown = { ...makeTensor(name, [], new Float32Array(0)), dims: sparse.dims }; // in messages
  const count = productOf(dims);
  if (dims.some((dim) => dim < 0) || count > MAX_CONSTANT_ELEMENTS) {
    throw badTensor(
      shown,
      `is sparse and would have ${count} elements written out, expected 0 to ${MAX_CONSTANT_ELEMENTS}`,
    );
  }
  const { values } = sparse;
  const type = TYPES[values?.dataType ?? 0];
  if (values === undefined || type === undefined) return undefined;
  const places = placesOf(sparse, dims, shown);
  const given = type === 'float' ? readFloats(values) : readIntegers(values);
  if (given.length !== places.length)
    throw badTensor(shown, `has ${given.length} values at ${places.length} places`);
  const data = type === 'float' ? new Float32Array(count) : new Float64Array(count);
  for (const [i, place] of places.entries()) data[place] = given[i]!; // of equal length
  return initializerOf(name, { type, dims, data });
}

/** Linear indices of the values. */
function placesOf(
  { indices }: OnnxSparseTensor,
  dims: readonly number[],
  shown: Initializer,
): readonly number[] {
  if (indices === undefined) throw badTensor(shown, 'is sparse and has no indices');
  const given = readIntegers(indices);
  const rank = dims.length;
  const [placeCount = 0, width] = dimsOf(indices);
  if (width !== undefined && width !== rank)
    throw badTensor(shown, `has places of ${width} coordinates, expected ${rank}`);
  const sizes = width === undefined ? [productOf(dims)] : dims; // of each coordinate
  return Array.from({ length: placeCount }, (_, place) =>
    sizes.reduce((at, size, axis) => {
      const coordinate = given[place * sizes.length + axis] ?? NaN;
      if (!(coordinate >= 0 && coordinate < size))
        throw badTensor(shown, `has a value at ${coordinate} on an axis of ${size}`);
      return at * size + coordinate;
    }, 0),
  );
}
