import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../../src/numeric/random.ts';
import { roundLayer } from '../../../../src/quantization/corrections/round-layer.ts';
import { roundHalfToEven } from '../../../../src/numeric/rounding.ts';

const ROWS = 8;
const SAMPLES = 400;

/** Codes that follow a few common causes, as the channels of a layer do; `size` in each group. */
function layerOf(groupCount: number, size: number) {
  const random = createRandom(11, `${groupCount}/${size}`);
  const width = groupCount * size;
  const causes = Array.from({ length: width * 3 }, () => random.normal());
  const samples = new Uint8Array(2 * SAMPLES * width); // half of them never shown
  for (let p = 0; p < 2 * SAMPLES; p += 1) {
    const state = [random.normal(), random.normal(), random.normal()];
    for (let k = 0; k < width; k += 1) {
      const common = state.reduce((sum, value, i) => sum + value * causes[3 * k + i]!, 0);
      samples[k * 2 * SAMPLES + p] = Math.min(
        Math.max(60 + 25 * common + 5 * random.normal(), 0),
        255,
      );
    }
  }
  const rows = Float32Array.from({ length: ROWS * size }, () => random.normal());
  const scales = Float32Array.from({ length: ROWS }, (_, m) => 0.02 + 0.005 * m);
  return {
    ...{ rows, scales, limit: 127, meeting: null, groupCount, samples },
    ...{ sampleCount: SAMPLES, areScalesFree: false },
  };
}

/** The first half of the samples of each input. */
function shown(samples: Uint8Array): Uint8Array {
  return samples.filter((_, at) => at % (2 * SAMPLES) < SAMPLES);
}

/** Σ over the second half of the samples of ((w - s · code) · (x - centre))². */
function outputError(
  layer: ReturnType<typeof layerOf>,
  codes: Int8Array,
  centred: boolean,
): number {
  const { rows, scales, samples, groupCount } = layer;
  const size = rows.length / ROWS;
  let total = 0;
  for (let row = 0; row < ROWS; row += 1) {
    const group = Math.floor(row / (ROWS / groupCount));
    const outputs: number[] = [];
    for (let p = SAMPLES; p < 2 * SAMPLES; p += 1) {
      let sum = 0;
      for (let k = 0; k < size; k += 1) {
        const error = rows[row * size + k]! - scales[row]! * codes[row * size + k]!;
        sum += error * samples[(group * size + k) * 2 * SAMPLES + p]!;
      }
      outputs.push(sum);
    }
    const mean = outputs.reduce((sum, value) => sum + value, 0) / SAMPLES;
    for (const value of outputs) total += (centred ? value - mean : value) ** 2;
  }
  return total;
}

function nearest({ rows, scales }: ReturnType<typeof layerOf>): Int8Array {
  const size = rows.length / ROWS;
  return Int8Array.from(rows, (value, i) => roundHalfToEven(value / scales[Math.floor(i / size)]!));
}

for (const [name, groupCount, size] of [
  ['a plain layer', 1, 48],
  ['a grouped layer', 4, 9],
  ['a layer of more inputs than a block', 1, 600],
] as const) {
  test(`${name} errs less on samples it was not shown`, async () => {
    const layer = layerOf(groupCount, size);
    const { codes } = await roundLayer({
      ...layer,
      samples: shown(layer.samples),
    });
    assert.ok(outputError(layer, codes, true) < 0.5 * outputError(layer, nearest(layer), true));
    // Where no bias makes up for the mean, the mean counts as well.
    const { codes: kept } = await roundLayer({
      ...layer,
      samples: shown(layer.samples),
      zeroPoint: 0,
    });
    assert.ok(outputError(layer, kept, false) < 0.5 * outputError(layer, nearest(layer), false));
    assert.ok(outputError(layer, kept, false) < outputError(layer, codes, false));
  });
}

test('inputs that never change leave nothing undefined', async () => {
  const layer = layerOf(1, 40);
  layer.samples.fill(7);
  const { codes } = await roundLayer({ ...layer, samples: shown(layer.samples) });
  assert.deepEqual(codes, nearest(layer));
});

test('filters over inputs that move together err less with a scale of their own', async () => {
  const layer = layerOf(4, 9);
  const random = createRandom(2, 'smooth');
  // What the nine inputs of a group differ by is a fiftieth of what they have in common.
  for (let group = 0; group < 4; group += 1) {
    for (let p = 0; p < 2 * SAMPLES; p += 1) {
      const common = 128 + 50 * random.normal();
      for (let k = 0; k < 9; k += 1) {
        const value = Math.min(Math.max(Math.round(common + random.normal()), 0), 255);
        layer.samples[(group * 9 + k) * 2 * SAMPLES + p] = value;
      }
    }
  }
  const given = { ...layer, samples: shown(layer.samples) };
  const kept = await roundLayer(given);
  assert.deepEqual(kept.scales, layer.scales);
  const free = await roundLayer({ ...given, areScalesFree: true });
  for (const [row, scale] of free.scales.entries()) {
    assert.ok(scale >= layer.scales[row]! && scale <= 1.061 * layer.scales[row]!);
  }
  const errorOf = ({ codes, scales }: typeof kept): number =>
    outputError({ ...layer, scales: scales.slice() }, codes, true);
  assert.ok(errorOf(free) < 0.25 * errorOf(kept), `${errorOf(free)} against ${errorOf(kept)}`);
});
