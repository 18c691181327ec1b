import { OnnxError } from '../diagnostics/errors.ts';
import { TensorProto_DataLocation, TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import type { Initializer } from './model.ts';

export function dimsOf(tensor: Initializer): number[] {
  return tensor.dims.map(Number);
}

// Plain numbers as the field is, so that unknown types survive a read; they fall to `default` below.
const FLOAT: number = DataType.FLOAT;
const DOUBLE: number = DataType.DOUBLE;
const FLOAT16: number = DataType.FLOAT16;
const INT64: number = DataType.INT64;
const INT32: number = DataType.INT32;

/** Number of elements the dimensions promise; 1 for a scalar. */
export function elementCount(tensor: Initializer): number {
  return dimsOf(tensor).reduce((product, dim) => product * dim, 1);
}

/** The values of a float, double or float16 tensor as float32, a copy. @throws OnnxError `onnx/bad-tensor` */
export function readFloats(tensor: Initializer): Float32Array {
  checkInline(tensor);
  const count = elementCount(tensor);
  const raw = tensor.rawData;
  switch (tensor.dataType) {
    case FLOAT:
      return raw.length > 0 || tensor.floatData.length === 0
        ? new Float32Array(aligned(tensor, raw, 4 * count))
        : checkCount(tensor, Float32Array.from(tensor.floatData), count);
    case DOUBLE:
      return raw.length > 0 || tensor.doubleData.length === 0
        ? Float32Array.from(new Float64Array(aligned(tensor, raw, 8 * count)))
        : checkCount(tensor, Float32Array.from(tensor.doubleData), count);
    case FLOAT16: {
      const halves =
        raw.length > 0 || tensor.int32Data.length === 0
          ? new Uint16Array(aligned(tensor, raw, 2 * count))
          : checkCount(tensor, Uint16Array.from(tensor.int32Data), count);
      return Float32Array.from(halves, halfToFloat);
    }
    default:
      throw badTensor(
        tensor,
        `has element type ${typeName(tensor)}, expected FLOAT, FLOAT16 or DOUBLE`,
      );
  }
}

/** IEEE 754 binary16: a sign, five bits of exponent (bias 15) and ten of fraction. */
function halfToFloat(bits: number): number {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}

export function isHalfTensor(tensor: Initializer): boolean {
  return tensor.dataType === FLOAT16;
}

/** Like `readFloats`, but for reading only: where it can be, a view of the tensor's own bytes. */
export function viewFloats(tensor: Initializer): Readonly<Float32Array> {
  const { rawData: raw, dataType } = tensor;
  const isView =
    dataType === FLOAT && raw.byteOffset % 4 === 0 && raw.length === 4 * elementCount(tensor);
  if (!isView || raw.length === 0) return readFloats(tensor);
  checkInline(tensor);
  return new Float32Array(raw.buffer, raw.byteOffset, raw.length / 4);
}

/** The values of an int64 or int32 tensor as numbers. @throws OnnxError `onnx/bad-tensor` */
export function readIntegers(tensor: Initializer): number[] {
  checkInline(tensor);
  const count = elementCount(tensor);
  const raw = tensor.rawData;
  switch (tensor.dataType) {
    case INT64:
      return raw.length > 0 || tensor.int64Data.length === 0
        ? Array.from(new BigInt64Array(aligned(tensor, raw, 8 * count)), Number)
        : checkCount(tensor, tensor.int64Data.map(Number), count);
    case INT32:
      return raw.length > 0 || tensor.int32Data.length === 0
        ? [...new Int32Array(aligned(tensor, raw, 4 * count))]
        : checkCount(tensor, [...tensor.int32Data], count);
    default:
      throw badTensor(tensor, `has element type ${typeName(tensor)}, expected INT64 or INT32`);
  }
}

export function isFloatTensor(tensor: Initializer): boolean {
  return tensor.dataType === FLOAT;
}

/** `FLOAT`, `INT64`, … or the number itself where it is not known. */
export function typeName(tensor: Initializer): string {
  return DataType[tensor.dataType] ?? String(tensor.dataType);
}

/**
 * Moves all weights into one buffer, in place: where some are views of the file that they were read from,
 * all of it lives as long as one of them. Buffers of 32 MB and more go back to the system when they are
 * dropped; of smaller ones glibc keeps the places, which were 100 MB after a ResNet-50's. Tensors whose
 * values lie in typed fields stay as they are: bytes that are set, if only to none, hide those.
 */
export function moveWeightsTogether(tensors: readonly Initializer[]): void {
  const moved = tensors.filter(({ rawData }) => rawData.length > 0);
  const sizes = moved.map(({ rawData }) => Math.ceil(rawData.length / ALIGNMENT) * ALIGNMENT);
  const together = new ArrayBuffer(sizes.reduce((sum, size) => sum + size, 0));
  let start = 0;
  for (const [i, tensor] of moved.entries()) {
    const place = new Uint8Array(together, start, tensor.rawData.length);
    place.set(tensor.rawData);
    tensor.rawData = place;
    start += sizes[i]!; // one a tensor
  }
}

/** Of every element type. */
const ALIGNMENT = 8;

/** Names the tensor in one clear message. */
export function badTensor(tensor: Initializer, problem: string): OnnxError {
  return new OnnxError({
    code: 'onnx/bad-tensor',
    message: `tensor "${tensor.name}" [${dimsOf(tensor).join(', ')}] ${problem}`,
    hint: 'export the model again; the file may be damaged',
  });
}

function checkInline(tensor: Initializer): void {
  if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) return;
  throw badTensor(tensor, 'keeps its data in another file that was not read');
}

/** `raw` as a buffer of its own that typed arrays of any width can view. */
function aligned(tensor: Initializer, raw: Uint8Array, byteCount: number): ArrayBuffer {
  if (raw.length !== byteCount) {
    throw badTensor(tensor, `holds ${raw.length} bytes, expected ${byteCount}`);
  }
  const copy = new Uint8Array(byteCount);
  copy.set(raw);
  return copy.buffer;
}

function checkCount<T extends { readonly length: number }>(
  tensor: Initializer,
  values: T,
  count: number,
): T {
  if (values.length === count) return values;
  throw badTensor(tensor, `holds ${values.length} values, expected ${count}`);
}
