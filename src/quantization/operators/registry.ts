import { markConv } from './conv.ts';
import { markGemm } from './gemm.ts';
import { markMatMul } from './matmul.ts';
import type { MarkOperator } from './operator.ts';
import { markAveragePool, markMaxPool } from './pool.ts';
import { markClip, markPad, markResize } from './shared.ts';

const integer: MarkOperator = () => ({ kind: 'integer' });
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
  MaxPool: markMaxPool,
  Reshape: shared,
  Flatten: shared,
  Transpose: shared,
  Squeeze: shared,
  Unsqueeze: shared,
  Slice: shared,
  Split: shared,
  Gather: shared,
  DepthToSpace: shared,
  SpaceToDepth: shared,
  Relu: shared,
  Clip: markClip,
  Pad: markPad,
  Resize: markResize,
};
