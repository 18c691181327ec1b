import { markConv } from './conv.ts';
import { markGemm } from './gemm.ts';
import { markMatMul } from './matmul.ts';
import { staysFloat, type MarkOperator } from './operator.ts';
import { markAveragePool, markMaxPool } from './pool.ts';
import { markClip, markPad, markResize } from './shared.ts';

const integer: MarkOperator = () => ({ kind: 'integer' });
/**
 * onnxruntime makes QLinearSoftmax of a Softmax between codes, which takes three to five times the time
 * on the last axis ([1, 4, 64, 64] 0.14 ms against 0.05, [4, 196, 196] 1.19 against 0.25, one thread on
 * AVX2) and leaves probabilities below 1/512 nothing: 29 and 22 dB in these two.
 */
const softmax: MarkOperator = () =>
  staysFloat(
    'the integer form of it, QLinearSoftmax, loses small probabilities and is slower over the last axis',
  );
const shared: MarkOperator = () => ({ kind: 'shared' });

/**
 * Operators with an integer form on onnxruntime's CPU provider, each verified by reading the
 * optimised graph (operators.test.ts and moved-values.test.ts in test/conformance). Whatever is not listed stays float.
 */
export const OPERATORS: Readonly<Record<string, MarkOperator>> = {
  Conv: markConv,
  Gemm: markGemm,
  MatMul: markMatMul,
  Add: integer,
  Mul: integer,
  GlobalAveragePool: integer,
  AveragePool: markAveragePool,
  Concat: integer,
  LeakyRelu: integer,
  Sigmoid: integer,
  Softmax: softmax,
  MaxPool: markMaxPool,
  Reshape: shared,
  Flatten: shared,
  Transpose: shared,
  Squeeze: shared,
  Unsqueeze: shared,
  Slice: shared,
  Split: shared,
  Gather: shared,
  ReduceMax: shared,
  ReduceMin: shared,
  Expand: shared,
  Tile: shared,
  DepthToSpace: shared,
  SpaceToDepth: shared,
  Relu: shared,
  Clip: markClip,
  Pad: markPad,
  Resize: markResize,
};
