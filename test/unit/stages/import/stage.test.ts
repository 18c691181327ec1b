import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../../../src/onnx/generated/onnx_pb.ts';
import { encodeOnnx, writeOnnx } from '../../../../src/onnx/writer.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { importModel } from '../../../../stages/import/stage.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { tinyConvnet } from '../../../support/tiny-convnet.ts';

test('a sound model goes through unchanged, with a report', async (t) => {
  const path = join(await temporaryFolder(t), 'model.onnx');
  await writeOnnx(path, tinyConvnet());
  const { outputs } = await runStage(t, importModel, { inputs: { model: { kind: 'file', path } } });
  assert.deepEqual(await readFile(outputs['model']!), await readFile(path));
  const { values, details } = await readMetricsFile(outputs['report']!);
  assert.deepEqual(
    values.map(({ name, value }) => [name, value]),
    [
      ['opset', 17],
      ['irVersion', 8],
      ['parameterCount', 432 + 16 + 144 + 16 + 64 + 4],
    ],
  );
  assert.deepEqual(details['inputs'], { input: ['N', 3, 16, 16] });
  assert.deepEqual(details['operators'], {
    Conv: 2,
    Relu: 1,
    Clip: 1,
    GlobalAveragePool: 1,
    Flatten: 1,
    Gemm: 1,
  });
});

test('weights in a file beside the model come into it', async (t) => {
  const path = join(await temporaryFolder(t), 'model.onnx');
  const model = tinyConvnet();
  const whole = encodeOnnx(model);
  const [weight] = model.graph!.initializer;
  await writeFile(`${path}.data`, weight!.rawData);
  weight!.rawData = new Uint8Array();
  weight!.dataLocation = TensorProto_DataLocation.EXTERNAL;
  weight!.externalData = [
    create(StringStringEntryProtoSchema, { key: 'location', value: 'model.onnx.data' }),
  ];
  await writeOnnx(path, model);
  const { outputs } = await runStage(t, importModel, { inputs: { model: { kind: 'file', path } } });
  assert.deepEqual(await readFile(outputs['model']!), Buffer.from(whole));
  const { notes } = await readMetricsFile(outputs['report']!);
  assert.match(notes.join(), /weights came from model.onnx.data beside the model/);
});

test('a text file, a truncated model and a wrong attribute are refused with their path', async (t) => {
  const folder = await temporaryFolder(t);
  const bytes = encodeOnnx(tinyConvnet());
  const wrong = tinyConvnet();
  wrong.graph!.node[2]!.attribute[0]!.i = 5n; // 16 channels in 5 groups: only onnxruntime sees it
  const files: Record<string, Uint8Array> = {
    'text.onnx': Buffer.from('hello, I am no model\n'),
    'cut.onnx': bytes.slice(0, 1000),
    'groups.onnx': encodeOnnx(wrong),
  };
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await writeFile(path, content);
    await assert.rejects(
      runStage(t, importModel, { inputs: { model: { kind: 'file', path } } }),
      {
        name: 'OnnxError',
        message: new RegExp(name),
      },
      name,
    );
  }
});
