import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeNode, makeTensor } from '../../../src/onnx/build.ts';
import { TensorProto_DataType as DataType } from '../../../src/onnx/generated/onnx_pb.ts';
import { graphOf, type OnnxModel, type ValueInfo } from '../../../src/onnx/model.ts';
import { checkClassifier } from '../../../src/onnx/read-classifier.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { quantizeModel } from '../../../src/quantization/library.ts';
import { quantizeFolder } from '../../../src/quantization/quantize-folder.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

function setType(value: ValueInfo | undefined, type: DataType): void {
  assert.ok(value?.type?.value.case === 'tensorType');
  value.type.value.value.elemType = type;
}

const refused: readonly {
  readonly name: string;
  readonly change: (model: OnnxModel) => void;
  readonly code: string;
  readonly message: RegExp;
}[] = [
  {
    name: 'an int64 input',
    change: (model) => setType(graphOf(model).input[0], DataType.INT64),
    code: 'onnx/input-type',
    message: /^m\.onnx: input "input" is int64, expected float32 values or uint8 pixels$/,
  },
  {
    name: 'a float16 input',
    change: (model) => setType(graphOf(model).input[0], DataType.FLOAT16),
    code: 'onnx/input-type',
    message: /input "input" is float16/,
  },
  {
    name: 'an output of class numbers',
    change: (model) => setType(graphOf(model).output[0], DataType.INT64),
    code: 'onnx/output-type',
    message: /^m\.onnx: output "logits" is int64, expected the scores of the classes in float32$/,
  },
  {
    name: 'float16 weights, in whatever order the nodes are',
    change: (model) => {
      const [weight] = graphOf(model).initializer;
      weight!.dataType = DataType.FLOAT16;
      graphOf(model).node.reverse();
    },
    code: 'onnx/float16',
    message: /node "first" \(Conv\) has float16 weights \("w1"\), expected a float32 model/,
  },
  {
    name: 'a bias of another length than the channels',
    change: (model) => {
      graphOf(model).initializer[1] = makeTensor('b1', [7], new Float32Array(7));
    },
    code: 'onnx/bad-bias',
    message: /node "first" \(Conv\) has a bias of shape \[7\] \("b1"\), expected \[16\]/,
  },
  {
    name: 'a model that was quantized before',
    change: (model) => {
      const codes = makeNode({
        ...{ opType: 'QuantizeLinear', name: 'codes' },
        ...{ inputs: ['input', 'scale', 'zero'], outputs: ['input_codes'] },
      });
      graphOf(model).node.push(codes);
    },
    code: 'onnx/quantized',
    message: /^m\.onnx is quantized already: node "codes" is a QuantizeLinear; expected a float32/,
  },
];

for (const { name, change, code, message } of refused) {
  test(`${name} is refused in one sentence about the model`, () => {
    const model = tinyConvnet();
    change(model);
    assert.throws(() => checkClassifier(model, 'm.onnx'), { name: 'OnnxError', code, message });
  });
}

test('weights of 16 bits that are cast first are none of the network', () => {
  const model = tinyConvnet();
  const graph = graphOf(model);
  graph.initializer[0]!.dataType = DataType.FLOAT16;
  graph.initializer[0]!.rawData = new Uint8Array(2 * 432);
  graph.node.unshift(
    makeNode({
      opType: 'Cast',
      name: 'cast',
      inputs: ['w1'],
      outputs: ['wide'],
      attributes: { to: 1 },
    }),
  );
  graph.node[1]!.input[1] = 'wide';
  assert.equal(checkClassifier(model, 'm.onnx').inputType, 'float32');
});

test('an input without a shape takes the size that is asked for', async () => {
  const model = tinyConvnet();
  const [input] = graphOf(model).input;
  assert.ok(input?.type?.value.case === 'tensorType');
  delete input.type.value.value.shape;
  const { height, inputLayout } = checkClassifier(model, 'm.onnx');
  assert.deepEqual([height, inputLayout], [null, 'nchw']);
  const images = Array.from({ length: 4 }, (_, i) =>
    new Float32Array(3 * TINY_SIZE ** 2).map((_, k) => Math.sin(k * (i + 1))),
  );
  await assert.rejects(quantizeModel(model, { images }), { code: 'quantize/size-needed' });
  const options = { images, size: TINY_SIZE, method: 'min-max', workerCount: 1 } as const;
  assert.equal((await quantizeModel(model, options)).quantizedLayerCount, 3);
});

test('what onnxruntime cannot run is told of the model before any image is decoded', async (t) => {
  const folder = await temporaryFolder(t);
  const modelPath = join(folder, 'model.onnx');
  const model = tinyConvnet();
  // The last layer has weights for 15 values where 16 come.
  graphOf(model).initializer[6] = makeTensor('w3', [4, 15], new Float32Array(60));
  await writeOnnx(modelPath, model);
  await mkdir(join(folder, 'none'));
  const request = { modelPath, dataFolder: join(folder, 'none'), preset: 'unit' } as const;
  await assert.rejects(quantizeFolder({ ...request, outputPath: join(folder, 'out.onnx') }), {
    name: 'OnnxError',
    message: /^onnxruntime cannot (load|run) .*model\.onnx: /,
  });
});
