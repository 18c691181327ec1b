import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setIntegers } from '../../../../src/onnx/attributes.ts';
import { classifierSignature } from '../../../../src/onnx/model-signature.ts';
import { makeTensor } from '../../../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../../../src/onnx/model.ts';
import { readOnnx } from '../../../../src/onnx/reader.ts';
import { writeOnnx } from '../../../../src/onnx/writer.ts';
import { readMetricsFile } from '../../../../src/stage/metrics-file.ts';
import { collectRows } from '../../../../src/quantization/compare-models.ts';
import { fidelityOf } from '../../../../src/quantization/fidelity.ts';
import { calibrate } from '../../../../stages/calibrate/stage.ts';
import { quantize } from '../../../../stages/quantize/stage.ts';
import { runStage, temporaryFolder } from '../../../support/stage-context.ts';
import { normalValues } from '../../../support/quantize-one.ts';
import { tinyConvnet, writeNoiseShards } from '../../../support/tiny-convnet.ts';

async function prepared(t: TestContext, network: OnnxModel = tinyConvnet()) {
  const folder = await temporaryFolder(t);
  const model = { kind: 'model/onnx' as const, path: join(folder, 'model.onnx') };
  const images = { kind: 'image-shards' as const, path: join(folder, 'images') };
  await writeOnnx(model.path, network);
  await writeNoiseShards(images.path, 20);
  const { outputs } = await runStage(t, calibrate, { inputs: { model, images } });
  const table = { kind: 'calibration-table' as const, path: outputs['table']! };
  return { model, images, table };
}

test('the stage writes a fused model, the same for one worker and two', async (t) => {
  const inputs = await prepared(t);
  const one = await runStage(t, quantize, { inputs, cpuCount: 1 });
  const two = await runStage(t, quantize, { inputs, cpuCount: 2 });
  for (const name of ['model', 'report', 'summary']) {
    assert.deepEqual(await readFile(one.outputs[name]!), await readFile(two.outputs[name]!));
  }
  assert.deepEqual(one.warnings, []);
  const { values, details } = await readMetricsFile(one.outputs['report']!);
  const value = (wanted: string) => values.find(({ name }) => name === wanted)?.value;
  assert.deepEqual(['quantizedLayerCount', 'floatOperatorCount', 'biasCorrection'].map(value), [
    3,
    0,
    'local',
  ]);
  assert.deepEqual(details['floatOperators'], []);
  const layers = details['layers'] as { node: string; weightSqnrDb: number }[];
  assert.deepEqual(
    layers.map(({ node }) => node),
    ['first', 'depthwise', 'dense'],
  );
  assert.ok(layers.every(({ weightSqnrDb }) => weightSqnrDb > 35));
  const { target, calibrationImageCount } = details['settings'] as Record<string, unknown>;
  assert.deepEqual([target, calibrationImageCount], ['avx2', 20]);
  const summary = await readFile(one.outputs['summary']!, 'utf8');
  assert.match(summary, /QLinearConv \| 2/);
  assert.match(
    summary,
    /Largest sum of two products .*: 32,\d{3} \(layer `.*`\); 16 bits hold 32,767/,
  );
  const metadata = (await readOnnx(one.outputs['model']!)).metadataProps;
  assert.deepEqual(
    metadata.map(({ key }) => key),
    ['drq.classes', 'drq.quantization', 'drq.calibration'],
  );
});

test('corrected biases bring the mean of the outputs back', async (t) => {
  const inputs = await prepared(t);
  const indices = Array.from({ length: 20 }, (_, i) => 2 * i);
  const images = { folder: inputs.images.path, split: 'train' as const, indices };
  const rowsOf = (modelPath: string) =>
    collectRows({ modelPath, outputName: 'logits', images, workerCount: 1 });
  const meanShift = (a: Float32Array[], b: Float32Array[]): number =>
    Math.hypot(
      ...[0, 1, 2, 3].map(
        (c) => a.reduce((sum, row, i) => sum + row[c]! - b[i]![c]!, 0) / a.length,
      ),
    );
  const reference = await rowsOf(inputs.model.path);
  const shifts: number[] = [];
  for (const biasCorrection of ['none', 'local']) {
    const { outputs } = await runStage(t, quantize, {
      inputs,
      parameters: { biasCorrection, rounding: 'nearest' },
    });
    const rows = await rowsOf(outputs['model']!);
    shifts.push(meanShift(reference, rows));
    assert.ok(fidelityOf(reference, rows).logitsSqnrDb! > 25);
  }
  assert.ok(shifts[1]! < 0.6 * shifts[0]!, shifts.join(' '));
});

test('without images it warns; excluded nodes stay float and are listed', async (t) => {
  const { model, table } = await prepared(t);
  const { outputs, warnings } = await runStage(t, quantize, {
    inputs: { model, table },
    parameters: { exclude: ['depthwise'] },
  });
  assert.deepEqual(warnings, [
    'weights are rounded to the nearest and biases are not corrected: the stage has no input "images"',
  ]);
  const { details } = await readMetricsFile(outputs['report']!);
  const nodes = details['floatOperators'] as { node: string; operator: string; reason: string }[];
  assert.ok(nodes.some(({ operator }) => operator.includes('Conv')));
  const graph = graphOf(await readOnnx(outputs['model']!));
  const depthwise = graph.node.find(({ name }) => name === 'depthwise');
  // Its weights are read as they are, not through a DequantizeLinear.
  assert.ok(graph.initializer.some(({ name }) => name === depthwise?.input[1]));
});

test('a node to exclude that is not there is told by the name of the parameter', async (t) => {
  const { model, table } = await prepared(t);
  const parameters = { exclude: ['depthwsie'] };
  await assert.rejects(runStage(t, quantize, { inputs: { model, table }, parameters }), {
    code: 'quantize/unknown-node',
    message: /^parameter "exclude" names what is no node of the model as it is quantized: "depthw/,
    hint: 'did you mean "depthwise"?',
  });
});

test('images other than the calibrated ones are refused', async (t) => {
  const inputs = await prepared(t);
  const images = { ...inputs.images, path: join(await temporaryFolder(t), 'images') };
  await writeNoiseShards(images.path, 3);
  await assert.rejects(runStage(t, quantize, { inputs: { ...inputs, images } }), {
    code: 'quantization/unknown-sample',
    message: /image "image-3"/,
  });
});

test('sensitivity ranks layers, an accuracy budget returns the worst to float', async (t) => {
  const { model, images } = await prepared(t);
  const calibrated = await runStage(t, calibrate, {
    inputs: { model, images },
    parameters: { count: 8 },
  });
  const table = { kind: 'calibration-table' as const, path: calibrated.outputs['table']! };
  const inputs = { model, images, table };
  const run = await runStage(t, quantize, {
    inputs,
    parameters: { accuracyBudget: 100, operatorTimes: 'measure' },
  });
  const { values, details } = await readMetricsFile(run.outputs['report']!);
  assert.equal(values.find(({ name }) => name === 'heldOutImageCount')?.value, 12);
  const sensitivity = details['sensitivity'] as { layers: { outputSqnrDb: number }[] };
  const harms = sensitivity.layers.map(({ outputSqnrDb }) => outputSqnrDb);
  assert.equal(harms.length, 3);
  assert.deepEqual(
    harms,
    [...harms].sort((a, b) => a - b),
  );
  const mixed = details['mixedPrecision'] as {
    isWithinBudget: boolean;
    floatLayers: string[];
    steps: { sizeBytes: number }[];
  };
  assert.deepEqual([mixed.isWithinBudget, mixed.floatLayers], [true, []]);
  assert.equal(mixed.steps.length, 1);
  assert.equal(mixed.steps[0]?.sizeBytes, (await readFile(run.outputs['model']!)).length);
  const times = details['operatorTimes'] as { operator: string; count: number; ms: number }[];
  assert.ok(times.some(({ operator, count }) => operator === 'QLinearConv' && count === 2));
  const operators = details['operators'] as Record<string, number>;
  for (const { operator, count } of times) assert.equal(operators[operator], count, operator);
  const summary = await readFile(run.outputs['summary']!, 'utf8');
  assert.match(summary, /## Accuracy against latency/);
  const svg = /data:image\/svg\+xml;base64,([A-Za-z0-9+/=]+)/.exec(summary)?.[1] ?? '';
  assert.match(Buffer.from(svg, 'base64').toString(), /^<svg[^>]*>/);
});

test('a model of uint8 pixels needs no normalization and loses nothing by it', async (t) => {
  const { model, images, table } = await prepared(t);
  const inputs = { model, images, table };
  const { outputs } = await runStage(t, quantize, { inputs, parameters: { inputType: 'uint8' } });
  const quantized = await readOnnx(outputs['model']!);
  const { inputType, inputLayout } = classifierSignature(quantized, 'model');
  assert.deepEqual([inputType, inputLayout], ['uint8', 'nchw']);
  const { details } = await readMetricsFile(outputs['report']!);
  assert.deepEqual(details['floatOperators'], []);
  const indices = Array.from({ length: 20 }, (_, i) => 2 * i);
  const selection = { folder: images.path, split: 'train' as const, indices };
  const rowsOf = (modelPath: string) =>
    collectRows({ modelPath, outputName: 'logits', images: selection, workerCount: 1 });
  const float = await rowsOf(model.path);
  const rows = await rowsOf(outputs['model']!);
  assert.ok(fidelityOf(float, rows).logitsSqnrDb! > 28);
  // The codes of a float32 input are the pixels too: the same weights, the same outputs.
  const ofFloats = await runStage(t, quantize, { inputs });
  assert.deepEqual(await rowsOf(ofFloats.outputs['model']!), rows);
  const ofRange = await runStage(t, quantize, { inputs, parameters: { inputRounding: 'range' } });
  assert.notDeepEqual(await rowsOf(ofRange.outputs['model']!), rows);
});

test('a first 7 x 7 convolution reads blocks of pixels, padded before they are codes, but a portable one', async (t) => {
  const network = tinyConvnet();
  const graph = graphOf(network);
  graph.initializer[0] = makeTensor('w1', [16, 3, 7, 7], normalValues('w1', 2352, 0.2));
  setIntegers(graph.node[0]!, 'pads', [3, 3, 3, 3]);
  const { model, images, table } = await prepared(t, network);
  const formOf = async (parameters: object) => {
    const { outputs } = await runStage(t, quantize, {
      inputs: { model, images, table },
      parameters,
    });
    const { node, initializer } = graphOf(await readOnnx(outputs['model']!));
    const selection = {
      ...{ folder: images.path, split: 'train' as const },
      indices: Array.from({ length: 20 }, (_, i) => 2 * i),
    };
    const rowsOf = (modelPath: string) =>
      collectRows({ modelPath, outputName: 'logits', images: selection, workerCount: 1 });
    const { logitsSqnrDb } = fidelityOf(await rowsOf(model.path), await rowsOf(outputs['model']!));
    const shapes = initializer.map(({ dims }) => dims.join(' x '));
    const first = node.find(({ opType }) => opType !== 'DequantizeLinear')?.opType; // of weights
    return { sqnr: logitsSqnrDb!, shapes, first };
  };
  const [avx2, vnni, portable, range] = [
    await formOf({ target: 'avx2' }),
    await formOf({ target: 'vnni' }),
    await formOf({ target: 'portable' }),
    await formOf({ target: 'avx2', inputRounding: 'range' }),
  ];
  assert.ok(avx2.shapes.includes('16 x 12 x 4 x 4'), avx2.shapes.join());
  assert.ok(vnni.shapes.includes('16 x 12 x 4 x 4'), vnni.shapes.join());
  assert.ok(portable.shapes.includes('16 x 4 x 7 x 7'), portable.shapes.join());
  assert.deepEqual(
    [avx2, portable, range].map(({ first }) => first),
    ['Pad', 'QuantizeLinear', 'QuantizeLinear'],
  );
  for (const { sqnr } of [avx2, vnni, portable]) assert.ok(sqnr > 28, String(sqnr));
});

for (const inputType of ['float32', 'uint8'] as const) {
  test(`a first layer that stays float reads a ${inputType} input as it is`, async (t) => {
    const { model, images, table } = await prepared(t);
    const inputs = { model, images, table };
    const parameters = { inputType, exclude: ['first'] };
    const { outputs } = await runStage(t, quantize, { inputs, parameters });
    const indices = Array.from({ length: 20 }, (_, i) => 2 * i);
    const selection = { folder: images.path, split: 'train' as const, indices };
    const rowsOf = (modelPath: string) =>
      collectRows({ modelPath, outputName: 'logits', images: selection, workerCount: 1 });
    const fidelity = fidelityOf(await rowsOf(model.path), await rowsOf(outputs['model']!));
    assert.ok(fidelity.logitsSqnrDb! > 28, String(fidelity.logitsSqnrDb));
    const { details } = await readMetricsFile(outputs['report']!);
    const float = details['floatOperators'] as { node: string; reason: string }[];
    const reasons = new Map(float.map(({ node, reason }) => [node, reason]));
    assert.match(reasons.get('first') ?? '', /excluded by parameter/);
    assert.match(reasons.get('ReorderOutput') ?? '', /layout of values for a float layer/);
    assert.equal(reasons.has('pixels'), inputType === 'uint8');
    assert.ok(![...reasons.values()].some((reason) => reason.includes('did not fuse')));
  });
}

test('what needs images is refused without them', async (t) => {
  const { model, table } = await prepared(t);
  await assert.rejects(
    runStage(t, quantize, {
      inputs: { model, table },
      parameters: { inputType: 'uint8', accuracyBudget: 1 },
    }),
    { code: 'quantize/images-needed', message: /inputType uint8, accuracyBudget 1 needs/ },
  );
});

test('for avx2 the report proves that no sum of two products overflows 16 bits', async (t) => {
  const inputs = await prepared(t);
  const worstOf = async (target: string): Promise<number> => {
    const { outputs } = await runStage(t, quantize, { inputs, parameters: { target } });
    const { values } = await readMetricsFile(outputs['report']!);
    return Number(values.find(({ name }) => name === 'worstPairSum')?.value);
  };
  assert.ok((await worstOf('avx2')) <= 32_767);
  assert.ok((await worstOf('portable')) <= 32_767);
  assert.ok((await worstOf('vnni')) > 32_767);
});
