import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import sharp from 'sharp';
import { DataError } from '../../../src/diagnostics/errors.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { makeNode } from '../../../src/onnx/build.ts';
import { classifierSignature } from '../../../src/onnx/model-signature.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { readOnnx } from '../../../src/onnx/reader.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { quantizeFolder } from '../../../src/quantization/quantize-folder.ts';
import { quantizeModel } from '../../../src/quantization/library.ts';
import { withOrientation } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { tinyConvnet, tinyConvnetNhwc } from '../../support/tiny-convnet.ts';

async function prepared(t: TestContext, imageCount = 10) {
  const folder = await temporaryFolder(t);
  const modelPath = join(folder, 'model.onnx');
  const dataFolder = join(folder, 'data');
  await writeOnnx(modelPath, tinyConvnet());
  const random = createRandom(5, 'photographs');
  for (let i = 0; i < imageCount; i += 1) {
    const below = join(dataFolder, String(i % 2));
    await mkdir(below, { recursive: true });
    const raw = { width: 20, height: 24, channels: 3 as const };
    const pixels = Uint8Array.from({ length: 20 * 24 * 3 }, () => random.integer(256));
    await sharp(pixels, { raw })
      .png()
      .toFile(join(below, `${i}.png`));
  }
  return { folder, modelPath, dataFolder, outputPath: join(folder, 'out', 'int8.onnx') };
}

test('a folder of photographs is enough', async (t) => {
  const { folder, ...paths } = await prepared(t);
  const phases = new Set<string>();
  const result = await quantizeFolder({
    ...paths,
    count: 6,
    preset: 'unit',
    workerCount: 1,
    onProgress: ({ phase }) => phases.add(phase),
  });
  assert.deepEqual([result.calibrationImageCount, result.comparedImageCount], [6, 4]);
  assert.deepEqual(result.floatNodes, []);
  assert.ok(result.fidelity!.logitsSqnrDb! > 25);
  assert.equal(result.fidelity!.agreementFraction, 1);
  assert.deepEqual([...phases], ['decode', 'calibrate', 'correct biases', 'compare']);
  assert.equal((await readFile(paths.outputPath)).length, result.sizeBytes);
  assert.deepEqual(await readdir(join(folder, 'out')), ['int8.onnx']);
});

test('files of formats that are not read are told beside photographs', async (t) => {
  const { dataFolder, modelPath, outputPath } = await prepared(t);
  const paths = { dataFolder, modelPath, outputPath };
  const settings = { ...paths, count: 6, preset: 'unit', workerCount: 1 } as const;
  const plain = await quantizeFolder(settings);
  for (const name of ['0/a.ppm', '1/b.ppm', '0/c.dcm', 'notes.txt', 'labels.csv']) {
    await writeFile(join(dataFolder, name), '');
  }
  const { notes, reportMarkdown } = await quantizeFolder(settings);
  const note = `${dataFolder}: files of formats that are not read are left out: 2 .ppm, 1 .dcm; convert photographs among them to PNG or JPEG`;
  assert.deepEqual(notes, [note, ...plain.notes]);
  assert.ok(reportMarkdown.includes(`> ${note}`));
});

test('photographs that viewers show turned are told of', async (t) => {
  const { dataFolder, modelPath, outputPath } = await prepared(t);
  const side = join(dataFolder, '0', '4.png');
  await writeFile(side, await withOrientation(await readFile(side), 8));
  const settings = { modelPath, outputPath, preset: 'unit', workerCount: 1 } as const;
  const { notes } = await quantizeFolder({ ...settings, dataFolder, count: 6 });
  assert.match(notes[0] ?? '', /^1 image carries an EXIF orientation .* its pixels.*4\.png; /);
  const { report } = await quantizeModel(modelPath, {
    images: { folder: dataFolder, preset: 'unit' },
    workerCount: 1,
  });
  assert.equal(report.notes[0], notes[0]);
});

test('every broken photograph is named at once', async (t) => {
  const { folder, dataFolder, ...paths } = await prepared(t);
  for (const name of ['0/2.png', '1/5.png']) await writeFile(join(dataFolder, name), 'no image');
  await assert.rejects(
    quantizeFolder({ ...paths, dataFolder, count: 8, preset: 'unit', workerCount: 1 }),
    (error) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.code, 'data/unreadable-image');
      const [head, ...lines] = error.message.replaceAll(folder, '').split('\n');
      assert.equal(head, '2 photographs cannot be used:');
      assert.match(
        lines.join('\n'),
        /^ {2}\/data\/0\/2\.png cannot .*\n {2}\/data\/1\/5\.png cannot .*$/,
      );
      assert.match(error.hint ?? '', /^replace or remove the file/);
      return true;
    },
  );
});

test('channels last and channels first give the same', async (t) => {
  const { folder, ...paths } = await prepared(t);
  const settings = { ...paths, count: 6, preset: 'unit', workerCount: 1 } as const;
  const first = await quantizeFolder(settings);
  const modelPath = join(folder, 'nhwc.onnx');
  await writeOnnx(modelPath, tinyConvnetNhwc());
  for (const inputType of ['float32', 'uint8'] as const) {
    const last = await quantizeFolder({ ...settings, modelPath, inputType });
    assert.deepEqual(last.fidelity, first.fidelity, inputType);
    assert.deepEqual(last.floatNodes, [], inputType);
    const written = classifierSignature(await readOnnx(paths.outputPath), inputType);
    assert.deepEqual([written.inputType, written.inputLayout], [inputType, 'nhwc']);
  }
});

test('pixels that cannot be folded in are refused before an image is read', async (t) => {
  const { folder, ...paths } = await prepared(t);
  const model = tinyConvnet();
  const [first] = graphOf(model).node;
  graphOf(model).node.unshift(
    makeNode({ opType: 'Sigmoid', name: 'before', inputs: ['input'], outputs: ['softened'] }),
  );
  first!.input[0] = 'softened';
  const modelPath = join(folder, 'softened.onnx');
  await writeOnnx(modelPath, model);
  const phases: string[] = [];
  const onProgress = ({ phase }: { phase: string }): unknown => phases.push(phase);
  const options = { ...paths, modelPath, preset: 'unit', inputType: 'uint8', onProgress } as const;
  await assert.rejects(quantizeFolder(options), { code: 'quantization/pixel-input' });
  assert.deepEqual(phases, []);
});

test('without corrections no image is run a second time, and more is lost', async (t) => {
  const { folder, ...paths } = await prepared(t);
  const settings = { ...paths, count: 6, preset: 'unit', workerCount: 1 } as const;
  const corrected = await quantizeFolder(settings);
  const phases = new Set<string>();
  const plain = await quantizeFolder({
    ...settings,
    rounding: 'nearest',
    biasCorrection: 'none',
    onProgress: ({ phase }) => phases.add(phase),
  });
  assert.deepEqual([...phases], ['decode', 'calibrate', 'compare']);
  assert.ok(plain.fidelity!.logitsSqnrDb! < corrected.fidelity!.logitsSqnrDb!);
  assert.match(plain.reportMarkdown, /bias correction: none/);
  assert.equal((await readdir(folder)).includes('out'), true);
});

test('a fifth is held out where there are fewer photographs than wanted', async (t) => {
  const { modelPath, dataFolder, outputPath } = await prepared(t, 5);
  const result = await quantizeFolder({
    modelPath,
    dataFolder,
    outputPath,
    preset: 'tf',
    workerCount: 1,
  });
  assert.deepEqual([result.calibrationImageCount, result.comparedImageCount], [4, 1]);
});

test('copies of photographs that calibrate are not compared on', async (t) => {
  const { modelPath, dataFolder, outputPath } = await prepared(t);
  const first = await readFile(join(dataFolder, '0', '0.png'));
  await writeFile(join(dataFolder, '0', '3.png'), first);
  const result = await quantizeFolder({
    modelPath,
    dataFolder,
    outputPath,
    count: 6,
    preset: 'unit',
    workerCount: 1,
  });
  assert.deepEqual([result.calibrationImageCount, result.comparedImageCount], [6, 4]);
});

test('what cannot be done is refused with the next step', async (t) => {
  const { folder, ...paths } = await prepared(t, 1);
  const refused = (change: object, code: string): Promise<void> =>
    assert.rejects(quantizeFolder({ ...paths, preset: 'tf', workerCount: 1, ...change }), { code });
  await refused({ outputPath: paths.modelPath }, 'quantize/overwrites-input');
  await refused({ modelPath: join(folder, 'none.onnx') }, 'quantize/no-model');
  await refused({ dataFolder: join(folder, 'none') }, 'quantize/no-folder');
  await refused({ dataFolder: paths.modelPath }, 'quantize/no-folder');
  await refused({ preset: undefined }, 'quantize/normalization');
  await refused({ preset: undefined, mean: [0, 0, 0], std: [1, 0, 1] }, 'quantize/normalization');
  await refused(
    { preset: undefined, mean: [127, 127, 127], std: [127, 127, 127] },
    'quantize/normalization',
  );
  await refused({ size: 32 }, 'quantization/size-mismatch');
  await mkdir(join(folder, 'empty'));
  await refused({ dataFolder: join(folder, 'empty') }, 'quantize/no-photographs');
  assert.equal((await readdir(folder)).includes('out'), false);
});

test('the output goes where a link leads, and the link stays', async (t) => {
  const { folder, modelPath, dataFolder } = await prepared(t);
  const outputPath = join(folder, 'link.onnx');
  await symlink('real.onnx', outputPath);
  const settings = { preset: 'unit', workerCount: 1, method: 'min-max' } as const;
  const result = await quantizeFolder({ ...settings, modelPath, dataFolder, outputPath });
  assert.equal(result.outputPath, outputPath);
  assert.equal(await readlink(outputPath), 'real.onnx');
  assert.equal((await readFile(join(folder, 'real.onnx'))).length, result.sizeBytes);
  const photograph = join(dataFolder, '0', '0.png');
  const before = await readFile(photograph);
  await assert.rejects(
    quantizeFolder({ ...settings, modelPath, dataFolder, outputPath: photograph }),
    { code: 'quantize/overwrites-input', message: /would replace the photograph 0\/0\.png$/ },
  );
  assert.deepEqual(await readFile(photograph), before);
});
