import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tinyConvnet } from '../../support/tiny-convnet.ts';

const sessionUrl = new URL('../../../src/runtime/onnx-session.js', import.meta.url).href;

test('onnxruntime leaves nothing in the temporary folder', async (context) => {
  const folder = await temporaryFolder(context);
  const modelPath = join(folder, 'model.onnx');
  await writeOnnx(modelPath, tinyConvnet());
  const source = `
    const { openOnnxSession } = await import(${JSON.stringify(sessionUrl)});
    const session = await openOnnxSession(${JSON.stringify(modelPath)}, { threadCount: 1 });
    await session.release();
  `;
  const { stderr } = await execa(process.execPath, ['--input-type=module', '--eval', source], {
    env: { TMPDIR: folder },
  });
  assert.equal(stderr, '');
  assert.deepEqual(await readdir(folder), ['model.onnx']);
});
