import { makeModel, makeNode, makeValueInfo } from '../../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../../onnx/generated/onnx_pb.ts';
import { encodeOnnx } from '../../onnx/writer.ts';
import {
  openOnnxSession,
  type OnnxSession,
  type OnnxTensor,
  type SessionOptions,
} from '../../runtime/onnx-session.ts';

/**
 * a · b or a · b' for float32 matrices [M, K] and [K, N] or [N, K]: [M, N], row by row. By onnxruntime,
 * in one session that opens at the first call.
 */
export function createMatrixProduct({
  isTransposed,
}: {
  readonly isTransposed: boolean;
}): (a: OnnxTensor, b: OnnxTensor) => Promise<Float32Array> {
  const inputs = ['a', 'b'];
  const attributes = isTransposed ? { transB: 1 } : {};
  const node = makeNode({
    ...{ opType: 'Gemm', name: 'product', attributes },
    ...{ inputs, outputs: ['product'] },
  });
  const run = createOperation(
    [node],
    { inputs, type: DataType.FLOAT, result: DataType.FLOAT, rank: 2 },
    'exact', // results are large and of many sizes
  );
  return async (a, b) => (await run({ a, b })) as Float32Array; // as declared
}

/**
 * a · a' for uint8 matrices [N, M, K]: [N, M, M] in int32, which no CPU saturates while K is at most
 * 33,025 (255² · 33,025 still fits). By MatMulInteger of onnxruntime.
 */
export function createGramMatrices(): (a: OnnxTensor) => Promise<Int32Array> {
  const nodes = [
    makeNode({
      ...{ opType: 'Transpose', name: 'transpose', inputs: ['a'], outputs: ['transposed'] },
      attributes: { perm: [0, 2, 1] },
    }),
    makeNode({
      ...{ opType: 'MatMulInteger', name: 'product' },
      ...{ inputs: ['a', 'transposed'], outputs: ['product'] },
    }),
  ];
  const types = { inputs: ['a'], type: DataType.UINT8, result: DataType.INT32, rank: 3 as const };
  const run = createOperation(nodes, types, 'arena');
  return async (a) => (await run({ a })) as Int32Array; // as declared
}

/** Runs nodes whose inputs are tensors of one type and rank and whose result is `product`, likewise. */
function createOperation(
  nodes: Parameters<typeof makeModel>[0]['nodes'],
  types: {
    readonly inputs: readonly string[];
    readonly type: DataType;
    readonly result: DataType;
    readonly rank: 2 | 3;
  },
  memory: NonNullable<SessionOptions['memory']>,
): (inputs: Readonly<Record<string, OnnxTensor>>) => Promise<OnnxTensor['data']> {
  let session: Promise<OnnxSession> | undefined;
  const sizesOf = (name: string): string[] =>
    [`${name} matrices`, `${name} rows`, `${name} columns`].slice(-types.rank);
  return async (inputs) => {
    session ??= openOnnxSession(
      encodeOnnx(
        makeModel({
          graphName: 'product',
          opset: 17,
          nodes,
          inputs: types.inputs.map((name) => makeValueInfo(name, sizesOf(name), types.type)),
          outputs: [makeValueInfo('product', sizesOf('product'), types.result)],
          initializers: [],
        }),
      ),
      { threadCount: 1, memory },
    );
    const outputs = await (await session).run(inputs);
    return outputs['product']!.data; // the model's only output
  };
}
