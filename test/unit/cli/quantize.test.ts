import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import sharp from 'sharp';
import { createRandom } from '../../../src/numeric/random.ts';
import { classifierSignature } from '../../../src/onnx/model-signature.ts';
import { readOnnx } from '../../../src/onnx/reader.ts';
import { writeOnnx, writeOnnxWithData } from '../../../src/onnx/writer.ts';
import { runInProcess } from '../../support/in-process-cli.ts';
import { createRig } from '../../support/rig.ts';
import { tinyConvnet } from '../../support/tiny-convnet.ts';

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
  for (const text of ['1,2', '1,2,x', '1,,2', ' ']) {
    const { exitCode, stderr } = await drq(...needed, '--mean', text, '--std', '1,1,1');
    assert.equal(exitCode, 2, text);
    assert.match(stderr, /--mean must be three numbers with commas between/, text);
  }
  const large = await drq(...needed, '--preset', 'tf', '--size', '1000000000');
  assert.equal(large.exitCode, 2);
  assert.match(large.stderr, /--size must be at most 16384 pixels a side, received 1000000000/);
  const preset = await drq(...needed, '--preset', 'torch');
  assert.equal(preset.exitCode, 2);
  assert.match(preset.stderr, /Allowed choices are imagenet, tf, unit/);
  const absent = await drq(...needed, '--preset', 'tf');
  assert.equal(absent.exitCode, 2);
  assert.match(absent.stderr, /^error quantize\/no-model: there is no file model\.onnx/);
});

test('what cannot be written is told before anything is done', async (context) => {
  const rig = await createRig(context);
  await writeOnnx(rig.path('model.onnx'), tinyConvnet());
  await mkdir(rig.path('none'));
  const refused = async (
    output: string,
    report: string,
    expected: RegExp,
    model = 'model.onnx',
  ): Promise<void> => {
    const { exitCode, stderr } = await runInProcess(
      rig.root,
      ...['quantize', rig.path(model), '--data', rig.path('none'), '--preset', 'tf'],
      ...['--output', rig.path(output), '--report', rig.path(report)],
    );
    assert.equal(exitCode, 2, stderr);
    assert.match(stderr, expected);
  };
  await refused('int8.onnx', 'none', /quantize\/folder-given: the report .*none is a folder/);
  await refused('none', 'report.md', /quantize\/folder-given: the output .*none is a folder/);
  await refused(
    'model.onnx',
    'report.md',
    /overwrites-input: the output .* would replace the model$/m,
  );
  await refused(
    'int8.onnx',
    'int8.onnx',
    /overwrites-input: the report .* would replace the output$/m,
  );
  await writeOnnxWithData(rig.path('large.onnx'), rig.path('large.bin'), tinyConvnet());
  const before = await readFile(rig.path('large.bin'));
  await refused(
    'large.bin',
    'r.md',
    /the output .* would replace the model's weights$/m,
    'large.onnx',
  );
  await refused(
    'int8.onnx',
    'large.bin',
    /the report .* would replace the model's weights$/m,
    'large.onnx',
  );
  assert.deepEqual(await readFile(rig.path('large.bin')), before);
  await refused(
    'model.onnx/x.onnx',
    'r.md',
    /not-writable: the output .* cannot be written: a file stands/,
  );
  await refused('int8.onnx', 'model.onnx/x.md', /not-writable: the report .* cannot be written/);
  assert.deepEqual((await readdir(rig.root)).includes('int8.onnx'), false);
});

test('one command quantizes, compares and writes its report', async (context) => {
  const rig = await createRig(context);
  await writeOnnx(rig.path('model.onnx'), tinyConvnet());
  await mkdir(rig.path('photographs'));
  const random = createRandom(5, 'photographs');
  for (let i = 0; i < 8; i += 1) {
    const raw = { width: 20, height: 24, channels: 3 as const };
    const pixels = Uint8Array.from({ length: 20 * 24 * 3 }, () => random.integer(256));
    await sharp(pixels, { raw })
      .png()
      .toFile(rig.path(`photographs/${i}.png`));
  }
  const { exitCode, stdout, stderr } = await runInProcess(
    rig.root,
    ...['quantize', rig.path('model.onnx'), '--data', rig.path('photographs')],
    ...['--output', rig.path('int8.onnx'), '--preset', 'tf', '--count', '6', '--json'],
    ...['--method', 'min-max', '--target', 'avx2', '--input', 'uint8', '--sensitivity'],
    ...['--report', rig.path('report.md')],
  );
  assert.equal(exitCode, 0, stderr);
  const result = JSON.parse(stdout) as {
    fidelity: { agreementFraction: number };
    floatNodes: unknown[];
    operatorTimes: { operator: string; ms: number }[];
    settings: Record<string, unknown>;
    worstPairSum: { sum: number; fits: boolean };
    layers: { layer: string; operator: string; channelCount: number; worstPairSum: number }[];
  };
  assert.deepEqual(result.floatNodes, []);
  assert.ok(result.fidelity.agreementFraction >= 0.5);
  assert.ok(result.operatorTimes.every(({ ms }) => ms >= 0));
  assert.ok(result.operatorTimes.some(({ operator }) => operator === 'QLinearConv'));
  const { target, calibrationMethod, rounding } = result.settings;
  assert.deepEqual([target, calibrationMethod, rounding], ['avx2', 'min-max', 'adaptive']);
  assert.ok(result.worstPairSum.fits && result.worstPairSum.sum <= 32767);
  assert.deepEqual(
    result.layers.map(({ layer }) => layer),
    ['first', 'depthwise', 'dense'],
  );
  const report = await rig.read('report.md');
  for (const part of [
    '## Fidelity',
    '| QLinearConv | 2 |',
    '## Sensitivity',
    '| depthwise |',
    '| calibration images | 6 |',
  ]) {
    assert.ok(report.includes(part), part);
  }
  const { inputType } = classifierSignature(await readOnnx(rig.path('int8.onnx')), 'int8.onnx');
  assert.equal(inputType, 'uint8');
  const table = await runInProcess(
    rig.root,
    ...['quantize', rig.path('model.onnx'), '--data', rig.path('photographs'), '--preset', 'tf'],
    ...['--output', rig.path('again.onnx'), '--count', '6', '--method', 'min-max'],
  );
  assert.match(
    table.stdout,
    /on 2 images [^│]*, outputs [\d.]+ dB SQNR \(mean over images [\d.]+\)/,
  );
  assert.match(table.stdout, /times larger/);
});
