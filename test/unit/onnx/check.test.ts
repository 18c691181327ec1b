import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import { create } from '@bufbuild/protobuf';
import { AttributeProtoSchema, GraphProtoSchema } from '../../../src/onnx/generated/onnx_pb.ts';
import { checkModel } from '../../../src/onnx/check.ts';
import { describeModel } from '../../../src/onnx/describe-model.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { decodeOnnx } from '../../../src/onnx/reader.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';

function model(): OnnxModel {
  return makeModel({
    graphName: 'g',
    opset: 17,
    inputs: [makeValueInfo('input', ['N', 3, 8, 8])],
    outputs: [makeValueInfo('y', ['N', 4, 6, 6])],
    initializers: [makeTensor('w', [4, 3, 3, 3], new Float32Array(108).fill(0.5))],
    nodes: [
      makeNode({ opType: 'Conv', name: 'conv', inputs: ['input', 'w'], outputs: ['c'] }),
      makeNode({ opType: 'Relu', name: 'relu', inputs: ['c'], outputs: ['y'] }),
    ],
  });
}

const broken: readonly {
  readonly name: string;
  readonly change: (model: OnnxModel) => void;
  readonly code: string;
  readonly message: RegExp;
}[] = [
  {
    name: 'an opset below 7',
    change: (model) => (model.opsetImport[0]!.version = 6n),
    code: 'onnx/unsupported-opset',
    message: /uses opset 6, expected 7 to 22/,
  },
  {
    name: 'an opset above 22',
    change: (model) => (model.opsetImport[0]!.version = 23n),
    code: 'onnx/unsupported-opset',
    message: /uses opset 23/,
  },
  {
    name: 'IR version 14',
    change: (model) => (model.irVersion = 14n),
    code: 'onnx/unsupported-ir-version',
    message: /IR version 14, expected 1 to 13/,
  },
  {
    name: 'an unknown domain',
    change: (model) => (graphOf(model).node[1]!.domain = 'my.company'),
    code: 'onnx/unknown-domain',
    message: /node "relu" \(Relu\) belongs to the operator domain "my.company"/,
  },
  {
    name: 'nodes out of order',
    change: (model) => graphOf(model).node.reverse(),
    code: 'onnx/undefined-tensor',
    message: /node "relu" \(Relu\) reads tensor "c" before it is made/,
  },
  {
    name: 'a tensor nobody makes',
    change: (model) => (graphOf(model).node[0]!.input[0] = 'image'),
    code: 'onnx/undefined-tensor',
    message: /node "conv" \(Conv\) reads tensor "image", which nothing makes/,
  },
  {
    name: 'two makers of one tensor',
    change: (model) => (graphOf(model).node[1]!.output[0] = 'c'),
    code: 'onnx/duplicate-tensor',
    message: /node "relu" \(Relu\) makes a tensor that exists already: "c"/,
  },
  {
    name: 'two initializers of one name',
    change: (model) => graphOf(model).initializer.push(makeTensor('w', [1], Float32Array.of(1))),
    code: 'onnx/duplicate-tensor',
    message: /model.onnx has two initializers: "w"/,
  },
  {
    name: 'a cycle',
    change: (model) => (graphOf(model).node[0]!.input[0] = 'y'),
    code: 'onnx/cycle',
    message: /node "(conv|relu)" \((Conv|Relu)\) depends on its own output/,
  },
  {
    name: 'a branch that reads what nobody makes',
    change: (model) => {
      const branch = makeNode({ opType: 'Relu', name: 'b', inputs: ['gone'], outputs: ['z'] });
      const graph = create(GraphProtoSchema, { node: [branch] });
      graphOf(model).node[1]!.attribute.push(create(AttributeProtoSchema, { name: 'g', g: graph }));
    },
    code: 'onnx/undefined-tensor',
    message: /node "relu" \(Relu\) reads tensor "gone", which nothing makes/,
  },
  {
    name: 'an output nobody makes',
    change: (model) => (graphOf(model).output[0]!.name = 'z'),
    code: 'onnx/undefined-tensor',
    message: /nothing makes the graph's output "z"/,
  },
  {
    name: 'weights that end early',
    change: (model) => {
      const [tensor] = graphOf(model).initializer;
      tensor!.rawData = tensor!.rawData.slice(0, 400);
    },
    code: 'onnx/bad-tensor',
    message: /tensor "w" \[4, 3, 3, 3\] holds 400 bytes, expected 432/,
  },
  {
    name: 'a weight that is NaN',
    change: (model) => {
      const [tensor] = graphOf(model).initializer;
      new DataView(tensor!.rawData.buffer).setFloat32(4 * 7, NaN, true);
    },
    code: 'onnx/bad-tensor',
    message: /tensor "w" .* holds NaN or infinity at index 7/,
  },
];

test('a sound model passes, and its description is right', () => {
  const sound = model();
  checkModel(sound, 'sound.onnx');
  assert.deepEqual(describeModel(sound), {
    opset: 17,
    irVersion: 8,
    operators: { Conv: 1, Relu: 1 },
    parameterCount: 108,
    inputs: { input: ['N', 3, 8, 8] },
    outputs: { y: ['N', 4, 6, 6] },
  });
});

for (const { name, change, code, message } of broken) {
  test(`${name} is refused, naming the place`, () => {
    const changed = model();
    change(changed);
    assert.throws(() => checkModel(changed, 'model.onnx'), { name: 'OnnxError', code, message });
  });
}

test('a truncated file is refused when read or when checked', () => {
  const bytes = encodeOnnx(model());
  for (const length of [0, 1, 10, 100, bytes.length - 1]) {
    assert.throws(
      () => checkModel(decodeOnnx(bytes.slice(0, length), 'cut.onnx'), 'cut.onnx'),
      { name: 'OnnxError' },
      `cut at ${length}`,
    );
  }
});
