import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { calibrateModel, quantizeModel } from '../../../src/quantization/library.ts';
import { makeJpeg, writeFiles } from '../../support/picture-fixtures.ts';
import { normalValues } from '../../support/quantize-one.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const LENGTH = 3 * TINY_SIZE ** 2;
const inputs = Array.from({ length: 10 }, (_, i) => normalValues(`input ${i}`, LENGTH));
/** What takes no time. */
const fast = {
  method: 'min-max',
  rounding: 'nearest',
  biasCorrection: 'none',
  workerCount: 1,
} as const;

test('inputs that calibrated are not compared on, nor are copies of them', async () => {
  const images = inputs.slice(0, 6);
  const given = { images, ...fast } as const;
  const { report } = await quantizeModel(tinyConvnet(), {
    ...given,
    compare: [...inputs.slice(4), Float32Array.from(images[0]!)],
  });
  assert.equal(report.fidelity?.imageCount, 4);
  const none = await quantizeModel(tinyConvnet(), { ...given, compare: images });
  assert.equal(none.report.fidelity, null);
  assert.equal(
    none.report.comparedOn,
    'every input to compare on was calibrated on, or is a copy of one that was',
  );
  await assert.rejects(quantizeModel(tinyConvnet(), { ...given, compare: [] }), {
    code: 'quantize/no-photographs',
  });
});

test('paths are those of the working folder that the call began in, told as they were given', async (t) => {
  const [folder, elsewhere] = [await temporaryFolder(t), await temporaryFolder(t)];
  await writeOnnx(join(folder, 'model.onnx'), tinyConvnet());
  await mkdir(join(folder, 'photographs'));
  await writeFiles({
    [join(folder, 'photographs', '0.jpg')]: await makeJpeg(0),
    [join(folder, 'photographs', '1.jpg')]: await makeJpeg(1),
    [join(folder, 'photographs', 'unread.dcm')]: '',
    [join(folder, 'broken', '0.jpg')]: 'no photograph',
  });
  const before = process.cwd();
  t.after(() => process.chdir(before));
  const started = <T>(call: () => Promise<T>): Promise<T> => {
    process.chdir(folder);
    const running = call();
    process.chdir(elsewhere);
    return running;
  };
  const photographs = { folder: './photographs', preset: 'unit' } as const;
  const { report } = await started(() =>
    quantizeModel('model.onnx', { images: inputs, compare: photographs, ...fast }),
  );
  assert.equal(report.comparedOn, './photographs');
  assert.match(report.notes.join(), /^\.\/photographs: files of formats/);
  assert.equal(report.fidelity?.imageCount, 2);
  const ranges = await started(() =>
    calibrateModel('model.onnx', { images: photographs, method: 'min-max', workerCount: 1 }),
  );
  assert.ok(ranges['input']);
  const refused = (model: string, source: string, expected: object): Promise<void> => {
    const images = { ...photographs, folder: source };
    return assert.rejects(
      started(() => quantizeModel(model, { images, ...fast })),
      expected,
    );
  };
  await refused('nope.onnx', 'photographs', { message: 'there is no file nope.onnx' });
  await refused('photographs/0.jpg', 'photographs', {
    message: /^photographs\/0\.jpg is not a complete ONNX model/,
  });
  await refused('model.onnx', 'nowhere', { message: 'there is no folder nowhere' });
  await refused('model.onnx', 'broken', { message: /^broken\/0\.jpg / });
});

test('inputs and signals of another realm are taken', async () => {
  const Foreign = runInNewContext('Float32Array') as Float32ArrayConstructor;
  assert.notEqual(Foreign, Float32Array);
  const images = inputs.slice(0, 2).map((input) => Foreign.from(input));
  const abort = new AbortController();
  // Its own, like that of a package, is no EventTarget of Node's.
  const signal = {
    get aborted() {
      return abort.signal.aborted;
    },
    addEventListener: abort.signal.addEventListener.bind(abort.signal),
    removeEventListener: abort.signal.removeEventListener.bind(abort.signal),
  } as unknown as AbortSignal;
  const options = { images, signal, method: 'min-max', workerCount: 1 } as const;
  const own = { ...options, images: inputs.slice(0, 2) };
  assert.deepEqual(
    await calibrateModel(tinyConvnet(), options),
    await calibrateModel(tinyConvnet(), own),
  );
  const stuck = async function* (): AsyncGenerator<Float32Array> {
    yield images[0]!; // there are two
    await new Promise(() => undefined);
  };
  setTimeout(() => abort.abort(), 50);
  await assert.rejects(calibrateModel(tinyConvnet(), { ...options, images: stuck() }), {
    code: 'run/interrupted',
  });
});
