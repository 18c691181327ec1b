import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { graphOf } from '../../../src/onnx/model.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import {
  measureOperatorTimes,
  summarizeNodes,
  withPlainNames,
} from '../../../src/quantization/operator-times.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

test('operators are counted and timed in the fastest run as a whole', () => {
  const times = summarizeNodes([
    { operator: 'Conv', node: 'a', durationsMs: [4, 2] },
    { operator: 'Add', node: 'b', durationsMs: [1, 2] },
    { operator: 'Conv', node: 'c', durationsMs: [3, 2] },
  ]);
  assert.deepEqual(times, [
    { operator: 'Conv', count: 2, ms: 4 },
    { operator: 'Add', count: 1, ms: 2 },
  ]);
  assert.deepEqual(summarizeNodes([]), []);
});

test('names that a profile cannot hold are replaced in a copy, others stay', async (t) => {
  assert.equal(withPlainNames(tinyConvnet()), null);
  for (const name of ['a"b', 'a\\b', 'a\nb']) {
    const model = tinyConvnet();
    for (const node of graphOf(model).node) node.name = `${name} ${node.name}`;
    const copy = withPlainNames(model);
    assert.equal(graphOf(copy!).node[2]!.name, 'node 2');
    assert.equal(graphOf(model).node[2]!.name, `${name} depthwise`);
    const folder = await temporaryFolder(t);
    const modelPath = join(folder, 'model.onnx');
    await writeOnnx(modelPath, model);
    const data = new Float32Array(3 * TINY_SIZE ** 2);
    const input = { data, dims: [1, 3, TINY_SIZE, TINY_SIZE] };
    const times = await measureOperatorTimes({ model, modelPath, input, scratchPath: folder });
    assert.ok(
      times.some(({ operator }) => operator.includes('Conv')),
      name,
    );
    assert.deepEqual(await readdir(folder), ['model.onnx']);
  }
});
