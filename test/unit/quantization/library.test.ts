import assert from 'node:assert/strict';
import { create } from '@bufbuild/protobuf';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import {
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from '../../../src/onnx/generated/onnx_pb.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { readFloats } from '../../../src/onnx/tensor-data.ts';
import { encodeOnnx } from '../../../src/onnx/writer.ts';
import { withThreadsOf } from '../../../src/quantization/image-pass.ts';
import { calibrateModel, quantizeModel } from '../../../src/quantization/library.ts';
import { reportMetrics } from '../../../src/quantization/report-metrics.ts';
import { nodeSpec, normalValues } from '../../support/quantize-one.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { makeJpeg, writeFiles } from '../../support/picture-fixtures.ts';
import { TINY_SIZE, tinyConvnet, tinyConvnetNhwc } from '../../support/tiny-convnet.ts';

const LENGTH = 3 * TINY_SIZE ** 2;
const inputs = Array.from({ length: 10 }, (_, i) => normalValues(`input ${i}`, LENGTH));
const shared = { workerCount: 1 };

test('ranges cover what an array of inputs holds, and can be given to the quantizer', async () => {
  const ranges = await calibrateModel(tinyConvnet(), {
    images: inputs,
    method: 'min-max',
    ...shared,
  });
  const values = inputs.flatMap((input) => [...input]);
  assert.equal(ranges['input']!.min, Math.min(...values));
  assert.equal(ranges['input']!.max, Math.max(...values));
  const phases = new Set<string>();
  const result = await quantizeModel(tinyConvnet(), {
    images: inputs.values(),
    ranges,
    exclude: ['depthwise'],
    onProgress: ({ phase }) => phases.add(phase),
    ...shared,
  });
  assert.deepEqual(result.ranges, ranges);
  assert.equal(result.quantizedLayerCount, 2);
  assert.ok(result.floatNodes.some(({ node }) => node === 'depthwise'));
  assert.deepEqual([...phases], ['read', 'correct']);
  assert.equal(result.report.fidelity, null);
  assert.match(result.report.comparedOn, /the option "compare" takes others/);
  assert.match(result.reportMarkdown, /Not measured: all inputs calibrate/);
});

test('inputs that do not fit are refused by number', async () => {
  const refused = (images: Float32Array[], expected: object): Promise<void> =>
    assert.rejects(calibrateModel(tinyConvnet(), { images, ...shared }), expected);
  await refused([...inputs.slice(0, 1), new Float32Array(3)], {
    code: 'data/tensor-length',
    message: `input 1 has 3 values; expected ${LENGTH} finite float32 values, [3, 16, 16]`,
    hint: /channels first$/,
  });
  await refused([new Float32Array(LENGTH).fill(NaN)], {
    message: /input 0 has values that are not finite/,
  });
  await refused([], { code: 'quantize/no-photographs' });
  const images = [new Float32Array(3)];
  await assert.rejects(calibrateModel(tinyConvnetNhwc(), { images, ...shared }), {
    message: /, \[16, 16, 3\]$/,
    hint: /channels last$/,
  });
});

test('the report is plain data, measured on inputs that did not calibrate', async () => {
  const given = { images: inputs.slice(0, 6), compare: inputs.slice(6), ...shared } as const;
  const phases = new Set<string>();
  const { report, reportMarkdown } = await quantizeModel(tinyConvnet(), {
    ...given,
    ...{ method: 'percentile', percentile: 99, granularity: 'per-tensor', target: 'avx2' },
    sensitivity: 'layers',
    onProgress: ({ phase }) => phases.add(phase),
  });
  assert.deepEqual([...phases], ['read', 'calibrate', 'correct', 'sensitivity', 'compare']);
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
  assert.deepEqual(report.settings, {
    target: 'avx2',
    calibrationMethod: 'percentile',
    calibrationImageCount: 6,
    granularity: 'per-tensor',
    weightRange: 'max',
    rounding: 'adaptive',
    biasCorrection: 'local',
    equalization: 'none',
    inputType: 'float32',
  });
  assert.equal(report.fidelity?.imageCount, 4);
  assert.ok(report.fidelity.logitsSqnrDb! > 15, String(report.fidelity.logitsSqnrDb));
  assert.deepEqual(
    report.layers.map(({ layer, operator, channelCount }) => [layer, operator, channelCount]),
    [
      ['first', 'Conv', 16],
      ['depthwise', 'Conv', 16],
      ['dense', 'Gemm', 4],
    ],
  );
  const sums = report.layers.map(({ worstPairSum }) => worstPairSum);
  assert.equal(report.worstPairSum.sum, Math.max(...sums));
  // 255 times 128 at most, of the 32767 that 16 bits hold.
  assert.ok(report.worstPairSum.sum <= 32640 && report.worstPairSum.fits);
  assert.equal(report.sensitivity?.layers.length, 3);
  // In a network so small the quantization's own nodes outweigh what the weights lose.
  assert.match(reportMarkdown, /^Size .* \(\d\.\d\d times larger\), 3 layers/m);
  for (const part of ['| target | avx2 |', '| calibration images | 6 |', '32,767', '| dense |']) {
    assert.ok(reportMarkdown.includes(part), part);
  }
});

test('a model of one score is compared by what it decides', async () => {
  const model = tinyConvnet();
  const graph = graphOf(model);
  graph.initializer = [
    ...graph.initializer.filter(({ name }) => name !== 'w3' && name !== 'b3'),
    makeTensor('w3', [1, 16], normalValues('w3', 16)),
    makeTensor('b3', [1], Float32Array.of(0)),
  ];
  graph.node.at(-1)!.output = ['score'];
  graph.node.push(
    makeNode({ opType: 'Sigmoid', name: 'p', inputs: ['score'], outputs: ['logits'] }),
  );
  graph.output = [makeValueInfo('logits', ['N', 1])];
  const { report, reportMarkdown } = await quantizeModel(model, {
    ...{ images: inputs.slice(0, 6), compare: inputs.slice(6), sensitivity: 'layers' },
    ...shared,
  });
  assert.ok(report.fidelity!.klDivergence! > 0);
  assert.ok(report.sensitivity!.layers.every(({ klDivergence }) => klDivergence! > 0));
  assert.match(report.notes.join(), /the probability of the second of two classes/);
  assert.match(reportMarkdown, /^> the model gives one score an image/m);
});

test('a folder keeps photographs back, and none that calibrated is compared on', async (t) => {
  const folder = await temporaryFolder(t);
  for (let i = 0; i < 10; i += 1)
    await writeFiles({ [join(folder, `${i}.jpg`)]: await makeJpeg(i) });
  const images = { folder, preset: 'unit' } as const;
  const split = await quantizeModel(tinyConvnet(), { images, count: 6, ...shared });
  assert.equal(split.report.settings.calibrationImageCount, 6);
  assert.equal(split.report.fidelity?.imageCount, 4);
  assert.equal(split.report.comparedOn, 'the rest of the folder');
  const same = { images, count: 7, compare: { folder }, inputType: 'uint8', ...shared } as const;
  const rest = await quantizeModel(tinyConvnet(), same);
  assert.equal(rest.report.fidelity?.imageCount, 3);
  assert.equal(rest.report.settings.inputType, 'uint8');
  const all = await quantizeModel(tinyConvnet(), { images, compare: { folder }, ...shared });
  assert.equal(all.report.settings.calibrationImageCount, 10);
  assert.equal(all.report.fidelity, null);
  assert.match(
    all.report.comparedOn,
    /^every photograph of .* was calibrated on, or is a copy of one that was$/,
  );
});

test('a copy of a photograph that calibrated is no other photograph', async (t) => {
  const folder = await temporaryFolder(t);
  for (let i = 0; i < 10; i += 1)
    await writeFiles({ [join(folder, `${i}.jpg`)]: await makeJpeg(0) });
  const images = { folder, preset: 'unit' } as const;
  const { report } = await quantizeModel(tinyConvnet(), { images, ...shared });
  assert.equal(report.fidelity, null);
  assert.match(report.comparedOn, /or is a copy of one that was$/);
  const elsewhere = await temporaryFolder(t);
  await writeFiles({
    [join(elsewhere, 'copy.jpg')]: await makeJpeg(0),
    [join(elsewhere, 'other.jpg')]: await makeJpeg(1),
    [join(elsewhere, 'unread.dcm')]: '',
  });
  const compare = { folder: elsewhere };
  const apart = await quantizeModel(tinyConvnet(), { images, compare, ...shared });
  assert.equal(apart.report.fidelity?.imageCount, 1);
  const [note = ''] = apart.report.notes;
  assert.ok(
    note.startsWith(`${elsewhere}: files of formats that are not read are left out: 1 .dcm`),
  );
  const alike = { ...compare, mean: [0, 0, 0], std: [1, 1, 1] };
  const same = await quantizeModel(tinyConvnet(), { images, compare: alike, ...shared });
  assert.deepEqual(same.report.fidelity, apart.report.fidelity);
  const other = { ...compare, preset: 'tf' } as const;
  await assert.rejects(quantizeModel(tinyConvnet(), { images, compare: other, ...shared }), {
    name: 'UsageError',
    code: 'library/invalid-options',
    message: /"compare" .* by mean 0\.5,0\.5,0\.5 and .* "images" by mean 0,0,0 and std 1,1,1,/,
  });
});

test('figures of pixels in 0 to 255 are refused with what to do', async () => {
  const images = { folder: 'photographs', mean: [127.5, 127.5, 127.5], std: [1, 1, 1] } as const;
  await assert.rejects(calibrateModel(tinyConvnet(), { images }), {
    code: 'quantize/normalization',
    message: /received mean 127\.5,127\.5,127\.5 and std 1,1,1$/,
    hint: /divide mean and std of values in 0 to 255 by 255/,
  });
});

/** The network behind a Cast of pixels and their normalization. */
function pixelConvnet(): OnnxModel {
  const model = tinyConvnet();
  const graph = graphOf(model);
  for (const node of graph.node) {
    node.input = node.input.map((name) => (name === 'input' ? 'normalized' : name));
  }
  graph.node.unshift(
    makeNode(nodeSpec('Cast', ['input'], 'values', { to: DataType.FLOAT })),
    makeNode(nodeSpec('Mul', ['values', 'pixel_step'], 'normalized')),
  );
  graph.initializer.push(makeTensor('pixel_step', [], Float32Array.of(1 / 255)));
  graph.input = [makeValueInfo('input', [1, 3, TINY_SIZE, TINY_SIZE], DataType.UINT8)];
  return model;
}

test('a model that takes pixels is corrected on pixels', async (t) => {
  const folder = await temporaryFolder(t);
  for (let i = 0; i < 24; i += 1)
    await writeFiles({ [join(folder, `${i}.jpg`)]: await makeJpeg(i) });
  const images = { folder, preset: 'unit' } as const;
  const { report } = await quantizeModel(pixelConvnet(), { images, count: 12, ...shared });
  assert.equal(report.settings.inputType, 'uint8');
  assert.ok(report.fidelity!.logitsSqnrDb! > 25, `${report.fidelity!.logitsSqnrDb} dB`);
});

test('an abort ends the reading of inputs at once, and the generator with it', async () => {
  const abort = new AbortController();
  let taken = 0;
  let isClosed = false;
  const slow = async function* (): AsyncGenerator<Float32Array> {
    try {
      for (;;) {
        await delay(20);
        taken += 1;
        yield inputs[0]!;
      }
    } finally {
      isClosed = true;
    }
  };
  setTimeout(() => abort.abort(), 150);
  const running = calibrateModel(tinyConvnet(), {
    images: slow(),
    signal: abort.signal,
    ...shared,
  });
  await assert.rejects(running, { code: 'run/interrupted' });
  await delay(50);
  assert.ok(taken > 0 && taken < 30, String(taken));
  assert.ok(isClosed);
  const stuck = async function* (): AsyncGenerator<Float32Array> {
    yield inputs[0]!;
    await new Promise(() => undefined);
  };
  const other = new AbortController();
  setTimeout(() => other.abort(), 50);
  await assert.rejects(
    calibrateModel(tinyConvnet(), { images: stuck(), signal: other.signal, ...shared }),
    { code: 'run/interrupted' },
  );
});

test('names that the model does not have are told before an input is read', async () => {
  const images: Iterable<Float32Array> = {
    [Symbol.iterator]: () => {
      throw new Error('an input was read');
    },
  };
  const refused = (options: object, expected: object): Promise<void> =>
    assert.rejects(quantizeModel(tinyConvnet(), { images, ...options, ...shared }), {
      name: 'UsageError',
      ...expected,
    });
  await refused(
    { exclude: ['dense', 'deptwise'] },
    {
      code: 'quantize/unknown-node',
      message:
        'quantizeModel: the option "exclude" names what is no node of the model as it is quantized: "deptwise"',
      hint: 'did you mean "depthwise"?',
    },
  );
  await refused(
    { exclude: ['typo'] },
    { hint: 'known: first, relu, depthwise, clip, pool, flatten, dense' },
  );
  const range = { min: 0, max: 1 };
  await refused(
    { ranges: {} },
    {
      code: 'quantize/missing-range',
      message: 'quantizeModel: the option "ranges" has no range for "r1", "r2", "p"',
    },
  );
  await refused(
    { ranges: { imput: range } },
    { code: 'quantize/unknown-tensor', hint: 'did you mean "input"?' },
  );
  const ranges = await calibrateModel(tinyConvnet(), { images: inputs, ...shared });
  await quantizeModel(tinyConvnet(), { images: inputs, ranges, exclude: ['dense'], ...shared });
});

test('no more threads start than there are images', async () => {
  const countFor = (workerCount: number, imageCount: number) => {
    const indices = Array.from({ length: imageCount }, (_, i) => i);
    const images = { folder: '', split: 'train', indices } as const;
    return withThreadsOf({ workerCount, images }, ({ threadCount }) =>
      Promise.resolve(threadCount),
    );
  };
  assert.equal(await countFor(100_000, 2), 2);
  assert.equal(await countFor(1, 2), 1);
  assert.equal(await countFor(2, 0), 1);
  const images = inputs.slice(0, 2);
  const { report } = await quantizeModel(tinyConvnet(), { images, workerCount: 100_000 });
  assert.equal(report.settings.calibrationImageCount, 2);
});

test('a percentile that the method does not use is refused', async () => {
  const options = { images: inputs, method: 'mse', percentile: 99 } as const;
  for (const call of [quantizeModel, calibrateModel]) {
    await assert.rejects(call(tinyConvnet(), options), {
      name: 'UsageError',
      code: 'library/percentile-unused',
      message: `${call.name}: the option "percentile" has no say with method mse`,
    });
  }
});

test('options that given ranges leave without a say are refused', async () => {
  const ranges = await calibrateModel(tinyConvnet(), {
    images: inputs,
    method: 'min-max',
    ...shared,
  });
  const idle = [{ method: 'mse' }, { percentile: 99 }, { equalization: 'activations' }] as const;
  for (const option of idle) {
    await assert.rejects(quantizeModel(tinyConvnet(), { images: inputs, ranges, ...option }), {
      code: 'library/ranges-given',
      hint: `leave out "${Object.keys(option).join()}", or leave out "ranges"`,
    });
  }
});

test('with one scale for all weights channels are not brought to like ranges unasked', async () => {
  const many = Array.from({ length: 64 }, (_, i) => normalValues(`many ${i}`, LENGTH));
  const chosenFor = async (granularity: 'per-tensor' | 'per-channel') => {
    const { report } = await quantizeModel(tinyConvnet(), { images: many, granularity, ...shared });
    return report.settings.equalization;
  };
  assert.equal(await chosenFor('per-tensor'), 'none');
  assert.equal(await chosenFor('per-channel'), 'activations');
});

test('weights in typed fields, as helper functions of the Python package write them, give the same model', async () => {
  // With a sigmoid before it the last layer is one that equalization leaves alone.
  const withSigmoid = (): OnnxModel => {
    const model = tinyConvnet();
    const clip = graphOf(model).node.find(({ name }) => name === 'clip')!; // it is in that network
    clip.opType = 'Sigmoid';
    clip.input = clip.input.slice(0, 1);
    return model;
  };
  const typed = withSigmoid();
  const graph = graphOf(typed);
  graph.initializer = graph.initializer.map((tensor) =>
    create(TensorProtoSchema, {
      ...{ name: tensor.name, dims: tensor.dims, dataType: tensor.dataType },
      floatData: [...readFloats(tensor)],
    }),
  );
  for (const equalization of ['activations', 'cross-layer'] as const) {
    const options = { images: inputs, method: 'mse', equalization, ...shared } as const;
    const expected = await quantizeModel(withSigmoid(), options);
    const { model } = await quantizeModel(typed, options);
    assert.deepEqual(encodeOnnx(model), encodeOnnx(expected.model), equalization);
  }
});

test('a map of features is compared by its values alone', async () => {
  const model = tinyConvnet();
  const graph = graphOf(model);
  graph.node = graph.node.filter(({ name }) => !['pool', 'flatten', 'dense'].includes(name));
  graph.output = [makeValueInfo('r2', ['N', 16, TINY_SIZE / 2, TINY_SIZE / 2])];
  const images = inputs.slice(0, 6);
  const options = { images, compare: inputs.slice(6), method: 'mse', ...shared } as const;
  const { report, reportMarkdown } = await quantizeModel(model, options);
  assert.equal(report.outputForm, 'values');
  assert.doesNotMatch(reportMarkdown, /top-1 agreement|KL divergence/);
  assert.match(reportMarkdown, /SQNR of the outputs, pooled \(dB\) \| \d+\.\d/);
  const names = reportMetrics(report).values.map(({ name }) => name);
  assert.ok(names.includes('heldOutLogitsSqnrDb'));
  assert.ok(!names.includes('heldOutAgreementFraction'));
});
