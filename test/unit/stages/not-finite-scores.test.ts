import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createRandom } from '../../../src/numeric/random.ts';
import { makeNode, makeTensor, makeValueInfo } from '../../../src/onnx/build.ts';
import { graphOf, type OnnxModel } from '../../../src/onnx/model.ts';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { readCalibrationTable } from '../../../src/quantization/calibration-table.ts';
import { readMetricsFile, type MetricsFile } from '../../../src/stage/metrics-file.ts';
import { calibrate } from '../../../stages/calibrate/stage.ts';
import { evaluate } from '../../../stages/evaluate/stage.ts';
import { quantize } from '../../../stages/quantize/stage.ts';
import { writeShardFixture, type ShardFixtureImage } from '../../support/image-shards-fixture.ts';
import { allTensors, normalValues } from '../../support/quantize-one.ts';
import { runStage, temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

/** Of a split; so close to each other that rounding puts some on the other side of 0. */
const IMAGE_COUNT = 24;

/** Noise of this brightness, of 0 to 1. */
function noiseImage(id: string, brightness: number): ShardFixtureImage {
  const random = createRandom(5, 'brightness'); // the same noise for all
  return {
    entry: { id, label: 1, copy: 0 },
    pixels: Uint8Array.from({ length: TINY_SIZE ** 2 * 3 }, () =>
      Math.round(brightness * random.integer(256)),
    ),
  };
}

/** Of class 0; class 3 is its negative. */
interface Crossings {
  readonly first: number;
  readonly last: number;
}

/**
 * The logits go through `tail`, to an output of their name. Class 0 is what it was less `first`, class 3
 * is `last` less that, the others are above both.
 */
function withTail({ first, last }: Crossings, tail: readonly string[]): OnnxModel {
  const model = tinyConvnet();
  const graph = graphOf(model);
  const weights = normalValues('w3', 64); // [4, 16], as the network has them
  weights.set(
    weights.subarray(0, 16).map((value) => -value),
    48,
  );
  const replaced = new Map([
    ['w3', makeTensor('w3', [4, 16], weights)],
    ['b3', makeTensor('b3', [4], Float32Array.of(-first, 100, 90, last))],
  ]);
  graph.initializer = graph.initializer.map((tensor) => replaced.get(tensor.name) ?? tensor);
  const names = ['z', ...tail.slice(1).map((_, i) => `tail-${i}`), 'logits'];
  const dense = graph.node.at(-1)!;
  dense.output = ['z'];
  graph.node.push(
    ...tail.map((opType, i) =>
      makeNode({ opType, name: opType, inputs: [names[i]!], outputs: [names[i + 1]!] }),
    ),
  );
  graph.output = [makeValueInfo('logits', ['N', 4])];
  return model;
}

async function firstLogit(image: ShardFixtureImage): Promise<number> {
  const plain = Float32Array.from({ length: 3 * TINY_SIZE ** 2 }, (_, i) => {
    const [channel, place] = [Math.floor(i / TINY_SIZE ** 2), i % TINY_SIZE ** 2];
    return image.pixels[3 * place + channel]! / 255; // [H, W, 3] → [3, H, W]
  });
  const { logits } = await allTensors(tinyConvnet(1), plain);
  return logits![0]! - normalValues('b3', 4)[0]!;
}

/**
 * Class 0 crosses 0 at a third of the images and class 3 at two thirds, so that a third has logarithms of
 * all; whichever way rounding moves them, the int8 model loses some of those.
 */
async function prepare(t: TestContext, tail: readonly string[]) {
  const folder = await temporaryFolder(t);
  const close = (split: string): ShardFixtureImage[] =>
    Array.from({ length: IMAGE_COUNT }, (_, i) => noiseImage(`${split}-${i}`, 0.5 + 0.003 * i));
  const images = { kind: 'image-shards' as const, path: join(folder, 'images') };
  // All brightnesses for the ranges, and as many close to the middle.
  const train = Array.from({ length: 32 }, (_, i) =>
    noiseImage(`train-${i}`, i < 16 ? (i + 1) / 16 : 0.5 + 0.0045 * (i - 16)),
  );
  const test_ = close('test');
  await writeShardFixture(images.path, {
    size: TINY_SIZE,
    classes: ['a', 'b', 'c', 'd'],
    imagesPerShard: 8,
    splits: { train, validation: close('validation'), test: test_ },
  });
  const logits = [];
  for (const image of test_) logits.push(await firstLogit(image));
  const sorted = [...logits].sort((a, b) => a - b);
  const crossings = { first: sorted[IMAGE_COUNT / 3]!, last: sorted[(2 * IMAGE_COUNT) / 3]! };
  const model = { kind: 'model/onnx' as const, path: join(folder, 'model.onnx') };
  await writeOnnx(model.path, withTail(crossings, tail));
  return { model, images };
}

const HEADS = [
  { gives: 'NaN', tail: ['Log'] },
  { gives: '-Infinity', tail: ['Relu', 'Log'] },
] as const;

for (const { gives, tail } of HEADS) {
  test(`a model that gives ${gives} for some images goes all the way, and it is told`, async (t) => {
    const { model, images } = await prepare(t, tail);
    const calibrated = await runStage(t, calibrate, { inputs: { model, images } });
    const heldOut = /of 8 held-out images/;
    assert.match(calibrated.warnings.join('\n'), heldOut);
    const report = await readMetricsFile(calibrated.outputs['report']!);
    assert.match(report.notes.join('\n'), heldOut);
    const table = { kind: 'calibration-table' as const, path: calibrated.outputs['table']! };
    const { selection } = await readCalibrationTable(table.path);
    assert.ok((selection!.floatNotFiniteImageCount ?? 0) < 8);

    // Without corrections, so that rounding moves what is close to 0.
    const parameters = { sensitivity: 'layers', rounding: 'nearest', biasCorrection: 'none' };
    const quantized = await runStage(t, quantize, { parameters, inputs: { model, images, table } });
    const metrics = await readMetricsFile(quantized.outputs['report']!);
    const notes = metrics.notes.join('\n');
    // An infinity that the int8 model repeats is no difference; NaN always is.
    if (gives === 'NaN')
      assert.match(notes, /16 of 24 images have float scores that are not finite/);
    const summary = await readFile(quantized.outputs['summary']!, 'utf8');
    assert.doesNotMatch(summary, /SQNR of the outputs, .* exact/);
    assert.match(summary, /SQNR of the outputs, pooled \(dB\) \| not finite on \d+ of \d+ images/);
    assert.match(notes, /SQNR of the outputs is not finite on \d+ of \d+ images/);
    assert.equal(find(metrics, 'heldOutLogitsSqnrDb'), undefined);
    const [first] = (metrics.details['sensitivity'] as { layers: { isFinite?: boolean }[] }).layers;
    assert.equal(first!.isFinite, false);

    const evaluated = await runStage(t, evaluate, {
      inputs: {
        model: { kind: 'model/onnx', path: quantized.outputs['model']! },
        images,
        reference: model,
      },
    });
    const scored = await readMetricsFile(evaluated.outputs['metrics']!);
    const told = scored.notes.join('\n');
    assert.match(told, /there is no logitsSqnrDb: it is not finite on \d+ of \d+ images/);
    assert.equal(find(scored, 'logitsSqnrDb'), undefined);
    const top1 = Number(find(scored, 'top1Fraction')!.value);
    const agreement = Number(find(scored, 'agreementFraction')!.value);
    if (gives === 'NaN') {
      assert.match(told, /16 of 24 images have reference scores that are not finite/);
      const [, lost] = /the scores are not finite on (\d+) of 24 images, which hold NaN/.exec(
        told,
      )!;
      assert.equal(top1, (24 - Number(lost)) / 24); // class 1 is first wherever there is an answer
      assert.ok(agreement <= 8 / 24, String(agreement));
    } else {
      assert.deepEqual([top1, agreement], [1, 1]); // whatever becomes of the others
    }
  });
}

function find(metrics: MetricsFile, name: string): MetricsFile['values'][number] | undefined {
  return metrics.values.find((metric) => metric.name === name);
}
