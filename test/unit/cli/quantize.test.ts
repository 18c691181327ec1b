import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig } from '../../support/rig.ts';

test('what is missing or malformed on the command line is told before anything is read', async (context) => {
  const rig = await createRig(context);
  const drq = (...rest: string[]) => runInProcess(rig.root, 'quantize', 'model.onnx', ...rest);
  const needed = ['--data', rig.root, '--output', rig.path('out.onnx')];
  assert.deepEqual(await drq('--output', 'x.onnx'), {
    exitCode: 2,
    stdout: '',
    stderr:
      'error usage/missing-option: drq quantize needs --data: a folder of images to calibrate with\n' +
      'hint: drq quantize MODEL.onnx --data FOLDER --output OUT.onnx --preset imagenet\n',
  });
  assert.match((await drq('--data', rig.root)).stderr, /needs --output/);
  for (const text of ['1,2', '1,2,x', '1,,2', '']) {
    const { exitCode, stderr } = await drq(...needed, '--mean', text, '--std', '1,1,1');
    assert.equal(exitCode, 2, text);
    assert.match(stderr, /--mean must be three numbers with commas between/, text);
  }
  const preset = await drq(...needed, '--preset', 'torch');
  assert.equal(preset.exitCode, 2);
  assert.match(preset.stderr, /Allowed choices are imagenet, tf, unit/);
  const absent = await drq(...needed, '--preset', 'tf');
  assert.equal(absent.exitCode, 2);
  assert.match(absent.stderr, /^error quantize\/no-model: there is no file model\.onnx/);
});
