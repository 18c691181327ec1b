import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNode, makeTensor, makeValueInfo, type NodeSpec } from '../../../src/onnx/build.ts';
import { TensorProto_DataType as DataType } from '../../../src/onnx/generated/onnx_pb.ts';
import { graphOf, type Initializer } from '../../../src/onnx/model.ts';
import { inferGraph } from '../../../src/onnx/shape-inference.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { openOnnxSession } from '../../../src/runtime/onnx-session.ts';
import { nodeSpec, normalTensor, normalValues, smallModel } from '../../support/quantize-one.ts';

const INPUT = [2, 3, 4, 5];
const integers = (name: string, dims: readonly number[], ...values: readonly number[]) =>
  makeTensor(name, dims, BigInt64Array.from(values, BigInt));

interface Case {
  /** The last makes `y`. */
  readonly nodes: readonly NodeSpec[];
  readonly tensors?: readonly Initializer[];
  readonly type?: DataType;
}

const one = (
  opType: string,
  inputs: readonly string[],
  attributes: NodeSpec['attributes'] = {},
  tensors: readonly Initializer[] = [],
  type: DataType = DataType.FLOAT,
): Case => ({ nodes: [nodeSpec(opType, inputs, 'y', attributes)], tensors, type });

const cases: Readonly<Record<string, Case>> = {
  'Gather of one': one('Gather', ['input', 'i'], { axis: 1 }, [integers('i', [], 2)]),
  'Gather of a table from the end': one('Gather', ['input', 'i'], { axis: -2 }, [
    integers('i', [2, 3], 0, 1, 2, 3, 0, 1),
  ]),
  'Gather of the first axis': one('Gather', ['input', 'i'], {}, [integers('i', [1], 1)]),
  GatherElements: one('GatherElements', ['input', 'i'], { axis: 3 }, [
    integers('i', [1, 1, 1, 2], 0, 1),
  ]),
  GatherND: one('GatherND', ['input', 'i'], {}, [integers('i', [2, 2], 0, 1, 1, 2)]),
  'GatherND by image': one('GatherND', ['input', 'i'], { batch_dims: 1 }, [
    integers('i', [2, 3, 1], 0, 1, 2, 0, 1, 2),
  ]),
  ScatterND: one('ScatterND', ['input', 'i', 'u'], {}, [
    integers('i', [1, 3], 0, 1, 2),
    normalTensor('u', [1, 5]),
  ]),
  ArgMax: one('ArgMax', ['input'], { axis: -1 }, [], DataType.INT64),
  'ArgMin without its axis': one('ArgMin', ['input'], { keepdims: 0 }, [], DataType.INT64),
  TopK: one('TopK', ['input', 'k'], { axis: 2 }, [integers('k', [1], 3)]),
  Where: {
    nodes: [
      nodeSpec('Greater', ['input', 'w'], 'condition'),
      nodeSpec('Not', ['condition'], 'not'),
      nodeSpec('Where', ['not', 'w', 'wide'], 'y'),
    ],
    tensors: [normalTensor('w', [4, 1]), normalTensor('wide', [6, 1, 1, 1, 5])],
  },
  Equal: one('Equal', ['input', 'w'], {}, [normalTensor('w', [7, 1, 3, 1, 1])], DataType.BOOL),
  'ConvTranspose with strides, pads and groups': one(
    'ConvTranspose',
    ['input', 'w'],
    { strides: [2, 3], pads: [1, 0, 0, 1], output_padding: [1, 2], dilations: [2, 1], group: 3 },
    [normalTensor('w', [3, 2, 3, 4])],
  ),
  'ConvTranspose of a given size': one(
    'ConvTranspose',
    ['input', 'w'],
    { output_shape: [8, 11], strides: [2, 2] },
    [normalTensor('w', [3, 2, 3, 3])],
  ),
  CumSum: one('CumSum', ['input', 'axis'], {}, [integers('axis', [], 1)]),
};

for (const [name, { nodes, tensors = [], type = DataType.FLOAT }] of Object.entries(cases)) {
  test(`${name}: the shape is that of onnxruntime`, async () => {
    const model = smallModel({ nodes, input: INPUT, output: 'y', tensors });
    const graph = graphOf(model);
    graph.output = [makeValueInfo('y', 'any', type)];
    if (nodes.at(-1)!.opType === 'TopK') {
      graph.node = nodes.map((node) => makeNode({ ...node, outputs: ['y', 'places'] }));
    }
    const session = await openOnnxSession(encodeOnnx(model), { threadCount: 1 });
    const data = normalValues('input', 120);
    const { y } = await session.run({ input: { data, dims: INPUT } });
    await session.release();
    assert.deepEqual(inferGraph(graph).shapes.get('y'), y!.dims);
  });
}

test('what depends on values has its rank', () => {
  const { shapes } = inferGraph(
    graphOf(
      smallModel({
        nodes: [nodeSpec('NonZero', ['input'], 'y')],
        input: INPUT,
        output: 'y',
      }),
    ),
  );
  assert.deepEqual(shapes.get('y'), [4, NaN]);
});
