import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calibrateModel, quantizeModel } from '../../../src/quantization/library.ts';
import {
  parseQuantizeOptions,
  type QuantizeModelOptions,
} from '../../../src/quantization/library-options.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

/** As plain JavaScript calls it: the typings do not keep anything out. */
function refused(options: unknown, expected: object): Promise<void> {
  return assert.rejects(quantizeModel(tinyConvnet(), options as QuantizeModelOptions), {
    name: 'UsageError',
    code: 'library/invalid-options',
    ...expected,
  });
}

const images = [new Float32Array(3 * TINY_SIZE ** 2)];

test('each option that cannot be is named, with what it may be', async () => {
  const wrong: readonly (readonly [object, string])[] = [
    [{ target: 'arm' }, 'the option "target" must be vnni, avx2 or portable, received "arm"'],
    [{ biasCorrection: 'global' }, 'the option "biasCorrection" must be local or none'],
    [{ rounding: 'x' }, 'the option "rounding" must be adaptive or nearest, received "x"'],
    [{ equalization: 'bogus' }, 'the option "equalization" must be auto, none, cross-layer or'],
    [{ method: 'foo' }, 'the option "method" must be auto, min-max, mean-min-max,'],
    [{ granularity: 1 }, 'the option "granularity" must be per-channel or per-tensor, received 1'],
    [{ ranges: { input: { min: NaN, max: 1 } } }, '"ranges.input.min" must be a number'],
    [{ ranges: { input: { min: 2, max: 1 } } }, '"ranges.input" must have a min that is not above'],
    [{ workerCount: 0 }, 'the option "workerCount" must be at least 1, received 0'],
    [{ size: 0 }, 'the option "size" must be at least 1, received 0'],
    [{ size: 1e9 }, 'the option "size" must be at most 16384, received 1000000000'],
    [{ size: NaN }, 'the option "size" must be a number, received NaN'],
    [{ percentile: 101 }, 'the option "percentile" must be at most 100, received 101'],
    [{ onProgress: 3 }, 'the option "onProgress" must be a function, received 3'],
    [{ signal: {} }, 'the option "signal" must be an AbortSignal, received an object'],
    [{ exclude: 'conv' }, 'the option "exclude" must be a list, received "conv"'],
    [{ count: 1.5 }, 'the option "count" must be a whole number, received 1.5'],
    [{ sensitivity: true }, 'the option "sensitivity" must be none or layers, received true'],
    [{ compare: null }, 'the option "compare" must be inputs (an array'],
    [{ compare: { folder: '' } }, 'the option "compare.folder" must not be empty'],
    [{ images: undefined }, 'the option "images" must be inputs (an array'],
    [{ images: 'photographs' }, 'the option "images" must be inputs (an array'],
    [{ images: images[0] }, 'put a single one into an array, received one Float32Array'],
    [{ images: { folder: 'x', preset: 'zzz' } }, '"images.preset" must be imagenet, tf or unit'],
    [{ images: { preset: 'tf' } }, 'the option "images.folder" must be a text'],
    [{ size: 0, target: 'arm' }, 'received 0; the option "target" must be'],
  ];
  for (const [change, part] of wrong) {
    const hasPart = ({ message }: Error): true => {
      assert.ok(message.includes(part), message);
      return true;
    };
    await assert.rejects(quantizeModel(tinyConvnet(), { images, ...change }), hasPart);
    await refused({ images, ...change }, {});
  }
  await refused({ images, mehtod: 'mse' }, { hint: 'did you mean "method"?' });
  await refused(
    { images: { folder: 'x', presett: 'tf' } },
    {
      message: 'quantizeModel: there is no option "images.presett"',
      hint: 'did you mean "preset"?',
    },
  );
  await refused(undefined, { message: /the options must be an object/ });
});

test('an option that is undefined is one that was not given', () => {
  const given = { images, target: undefined, method: 'mse' } as unknown;
  assert.deepEqual(parseQuantizeOptions(given), { images, method: 'mse' });
});

test('an option that is inherited is told as missing', async () => {
  const inherited = (members: object): object => Object.create(members) as object;
  const missing = /the option "images" must be inputs .*, received undefined$/;
  await refused(inherited({ images }), { message: missing });
  assert.deepEqual(
    parseQuantizeOptions(Object.assign(inherited({ compare: 3, target: 'arm' }), { images })),
    { images },
  );
  await refused(
    { images: inherited({ folder: 'x' }) },
    { message: /the option "images\.folder" must be a text, received undefined$/ },
  );
});

test('a size that the model does not take is told in the words of the library', async () => {
  await assert.rejects(quantizeModel(tinyConvnet(), { images, size: 40 }), {
    code: 'quantization/size-mismatch',
    message: /takes images of 16 x 16 pixels, the images are 40 x 40/,
    hint: /the library without the option "size"/,
  });
});

test('pixels as input need photographs', async () => {
  const needed = (part: string): object => ({
    code: 'library/photographs-needed',
    message: `quantizeModel: the option ${part} only where "images" are photographs, since nothing tells how inputs were made of pixels`,
  });
  await refused({ images, inputType: 'uint8' }, needed('"inputType" can be uint8'));
  await refused({ images, inputRounding: 'pixels' }, needed('"inputRounding" can be pixels'));
  const range = { images, inputRounding: 'range' } as const; // what is done with inputs
  assert.deepEqual(parseQuantizeOptions(range), range);
  const mixed = { images: { folder: 'x' }, compare: images, inputRounding: 'pixels' } as const;
  assert.deepEqual(parseQuantizeOptions(mixed), mixed);
});

test('a count of photographs beside inputs is refused', async () => {
  const generator = function* (): Generator<Float32Array> {
    yield images[0]!; // there is one
  };
  for (const call of [quantizeModel, calibrateModel]) {
    for (const inputs of [images, generator()]) {
      await assert.rejects(call(tinyConvnet(), { images: inputs, count: 2 }), {
        name: 'UsageError',
        code: 'library/count-unused',
        message: `${call.name}: the option "count" has no say, since "images" are inputs, which all calibrate`,
      });
    }
  }
});

test('the typings keep the same mistakes out', () => {
  const accepted: QuantizeModelOptions = {
    images: { folder: 'y', preset: 'tf' },
    compare: { folder: 'x', preset: 'tf' },
    count: 3,
  };
  assert.deepEqual(parseQuantizeOptions(accepted), accepted);
  const wrong: readonly QuantizeModelOptions[] = [
    // @ts-expect-error -- there is no such target
    { images, target: 'arm' },
    // @ts-expect-error -- there is no such option
    { images, mehtod: 'mse' },
    // @ts-expect-error -- nothing to calibrate on
    {},
    // @ts-expect-error -- there is no such preset
    { images: { folder: 'x', preset: 'zzz' } },
  ];
  for (const options of wrong) {
    assert.throws(() => parseQuantizeOptions(options), { code: 'library/invalid-options' });
  }
});

test('what is no model is refused before anything is read', async (t) => {
  for (const model of [null, 5, {}, undefined, '']) {
    const given = model as string;
    const expected = { name: 'UsageError', code: 'library/invalid-model' };
    await assert.rejects(quantizeModel(given, { images }), expected);
    await assert.rejects(calibrateModel(given, { images }), expected);
  }
  const folder = await temporaryFolder(t);
  await assert.rejects(quantizeModel(folder, { images }), { code: 'quantize/folder-given' });
  const absent = quantizeModel('/nope.onnx', { images });
  await assert.rejects(absent, { code: 'quantize/no-model', message: /no file \/nope\.onnx/ });
});

test('numbers that are no float32 are refused rather than read as such', async () => {
  const inputs = [new Float64Array(3 * TINY_SIZE ** 2)] as unknown as Float32Array[];
  await assert.rejects(quantizeModel(tinyConvnet(), { images: inputs, workerCount: 1 }), {
    code: 'data/tensor-length',
    message: /input 0 has a Float64Array; expected/,
  });
});
