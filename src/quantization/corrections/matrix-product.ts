import { makeModel, makeNode, makeValueInfo } from '../../onnx/build.ts';
import type { TensorProto_DataType as DataType } from '../../onnx/generated/onnx_pb.ts';
import { encodeOnnx } from '../../onnx/writer.ts';
import {
  openOnnxSession,
  type OnnxSession,
  type OnnxTensor,
  type SessionOptions,
} from '../../runtime/onnx-session.ts';

interface ProductOptions {
  readonly opType: 'Gemm' | 'MatMulInteger';
  readonly attributes?: Readonly<Record<string, number>>;
  readonly inputType: DataType;
  readonly outputType: DataType;
  readonly memory: NonNullable<SessionOptions['memory']>;
}

/** A product of two matrices by onnxruntime, in one session that opens at the first call. */
export function createMatrixProduct(
  options: ProductOptions,
): (a: OnnxTensor, b: OnnxTensor) => Promise<OnnxTensor['data']> {
  let session: Promise<OnnxSession> | undefined;
  return async (a, b) => {
    session ??= openOnnxSession(encodeOnnx(productModel(options)), {
      threadCount: 1,
      memory: options.memory,
    });
    const outputs = await (await session).run({ a, b });
    return outputs['product']!.data; // the model's only output
  };
}

function productModel({
  opType,
  attributes = {},
  inputType,
  outputType,
}: ProductOptions): ReturnType<typeof makeModel> {
  return makeModel({
    graphName: 'product',
    opset: 17,
    nodes: [
      makeNode({
        ...{ opType, attributes, name: 'product' },
        ...{ inputs: ['a', 'b'], outputs: ['product'] },
      }),
    ],
    inputs: ['a', 'b'].map((name) =>
      makeValueInfo(name, [`${name} rows`, `${name} columns`], inputType),
    ),
    outputs: [makeValueInfo('product', ['rows', 'columns'], outputType)],
    initializers: [],
  });
}
