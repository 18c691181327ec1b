import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '@tensorflow/tfjs-node';
import { createRandom } from '../../../src/numeric/random.ts';
import { cpuHasBfloat16 } from '../../../src/benchmark/machine.ts';
import { createKernels } from '../../../src/training/kernels.ts';
import { PRECISIONS, usablePrecision } from '../../../src/training/precision.ts';
import type { ConvolutionWindow } from '../../../src/training/windows.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

interface Case {
  readonly kernelSize: number;
  readonly stride: number;
  readonly size: number;
  /** Before and after, in both directions. */
  readonly pads: readonly [number, number];
}

const CASES: readonly Case[] = [
  { kernelSize: 1, stride: 1, size: 5, pads: [0, 0] },
  { kernelSize: 1, stride: 2, size: 6, pads: [0, 0] },
  { kernelSize: 1, stride: 2, size: 7, pads: [0, 0] },
  { kernelSize: 1, stride: 3, size: 8, pads: [0, 0] },
  { kernelSize: 3, stride: 1, size: 7, pads: [1, 1] },
  { kernelSize: 3, stride: 1, size: 6, pads: [0, 0] },
  { kernelSize: 3, stride: 1, size: 6, pads: [0, 2] },
  { kernelSize: 5, stride: 1, size: 9, pads: [2, 2] },
  { kernelSize: 3, stride: 2, size: 8, pads: [1, 1] },
  { kernelSize: 3, stride: 2, size: 8, pads: [0, 1] },
];
const [IMAGES, CHANNELS, FILTERS] = [2, 3, 4];

for (const { kernelSize, stride, size, pads } of CASES) {
  test(`gradients of ${kernelSize} x ${kernelSize}, stride ${stride}, ${size} pixels, padding ${pads.join(' and ')} are the sums of their definition`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const before = tf.memory().numTensors;
    const { window, outputSize, xShape } = geometryOf({ kernelSize, stride, size, pads }, false);
    const wShape: [number, number, number, number] = [kernelSize, kernelSize, CHANNELS, FILTERS];
    const x = normals(xShape, 1);
    const weights = normals(wShape, 2);
    const dy = normals([IMAGES, outputSize, outputSize, FILTERS], 3);
    const dx = new Float64Array(x.length);
    const dw = new Float64Array(weights.length);
    // y[output, m] = Σ x[input, c] · w[tap, c, m]
    for (const { input, output, tap } of tapsOf(window, outputSize))
      for (let c = 0; c < CHANNELS; c += 1)
        for (let m = 0; m < FILTERS; m += 1) {
          const [xAt, wAt] = [input * CHANNELS + c, (tap * CHANNELS + c) * FILTERS + m];
          const d = dy[output * FILTERS + m]!;
          dx[xAt]! += d * weights[wAt]!;
          dw[wAt]! += d * x[xAt]!;
        }

    const kernels = createKernels(tf);
    const tensors = {
      x: tf.tensor(x, xShape),
      w: tf.tensor(weights, wShape),
      dy: tf.tensor(dy, [IMAGES, outputSize, outputSize, FILTERS]),
    };
    const found = {
      dx: kernels.convolutionInputGradient(tensors.dy, tensors.w, window, xShape),
      dw: kernels.convolutionWeightGradient(tensors.dy, tensors.x, window, wShape),
    };
    assert.deepEqual([found.dx.shape, found.dw.shape], [xShape, wShape]);
    assertClose(found.dx.dataSync(), dx);
    assertClose(found.dw.dataSync(), dw);
    tf.dispose([tensors, found]);
    assert.equal(tf.memory().numTensors, before);
  });
}

for (const { kernelSize, stride, size, pads } of CASES) {
  if (kernelSize === 1 || stride === 3) continue;
  test(`the input gradient of a depthwise ${kernelSize} x ${kernelSize}, stride ${stride}, ${size} pixels, padding ${pads.join(' and ')} is the sum of its definition, in bfloat16 to its rounding`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const before = tf.memory().numTensors;
    const { window, outputSize, xShape } = geometryOf({ kernelSize, stride, size, pads }, true);
    const dyShape = [IMAGES, outputSize, outputSize, CHANNELS] as const;
    // Multiples of 1/8 below 4 are exact in bfloat16, and so are the products; sums are rounded once.
    const eighths = (values: Float32Array) => values.map((v) => Math.round(8 * v) / 8);
    const weights = eighths(normals([kernelSize, kernelSize, CHANNELS, 1], 2));
    const dy = eighths(normals(dyShape, 3));
    const dx = new Float64Array(IMAGES * size * size * CHANNELS);
    for (const { input, output, tap } of tapsOf(window, outputSize))
      for (let c = 0; c < CHANNELS; c += 1)
        dx[input * CHANNELS + c]! += dy[output * CHANNELS + c]! * weights[tap * CHANNELS + c]!;
    for (const wanted of PRECISIONS) {
      const precision = usablePrecision(wanted, cpuHasBfloat16());
      const kernels = createKernels(tf, { precision });
      const found: Tensor = tf.tidy(() =>
        kernels.toFloat32(
          kernels.convolutionInputGradient(
            kernels.toCompute(tf.tensor(dy, [...dyShape])),
            tf.tensor(weights, [kernelSize, kernelSize, CHANNELS, 1]),
            window,
            xShape,
          ),
        ),
      );
      assert.deepEqual(found.shape, xShape);
      // Half of a unit of eight bits, on both sides of the next power of two.
      const rounding = precision === 'bfloat16' ? 2 ** -8 : 1e-6;
      for (const [i, value] of found.dataSync<'float32'>().entries()) {
        const expected = dx[i]!; // as many
        assert.ok(Math.abs(value - expected) <= rounding * Math.abs(expected) + 1e-6, `${i}`);
      }
      found.dispose();
    }
    assert.equal(tf.memory().numTensors, before);
  });
}

function geometryOf({ kernelSize, stride, size, pads: [first, last] }: Case, depthwise: boolean) {
  const window: ConvolutionWindow = {
    ...{ kernelSize, stride, depthwise },
    padding: { top: first, bottom: last, left: first, right: last },
    inputShape: { height: size, width: size },
  };
  const xShape: [number, number, number, number] = [IMAGES, size, size, CHANNELS];
  return {
    window,
    xShape,
    outputSize: Math.floor((size + first + last - kernelSize) / stride) + 1,
  };
}

/** Every place of every output with every place of the input that it reads, and by which weight. */
function* tapsOf(
  { kernelSize, stride, padding, inputShape: { height: size } }: ConvolutionWindow,
  outputSize: number,
): Generator<{ readonly input: number; readonly output: number; readonly tap: number }> {
  for (let n = 0; n < IMAGES; n += 1)
    for (let i = 0; i < outputSize; i += 1)
      for (let j = 0; j < outputSize; j += 1)
        for (let tap = 0; tap < kernelSize ** 2; tap += 1) {
          const row = i * stride - padding.top + Math.floor(tap / kernelSize);
          const column = j * stride - padding.left + (tap % kernelSize);
          if (row < 0 || column < 0 || row >= size || column >= size) continue;
          const output = (n * outputSize + i) * outputSize + j;
          yield { input: (n * size + row) * size + column, output, tap };
        }
}

function normals(shape: readonly number[], seed: number): Float32Array {
  const random = createRandom(seed, 'convolution-gradients');
  const length = shape.reduce((product, size) => product * size, 1);
  return Float32Array.from({ length }, () => random.normal());
}

function assertClose(found: ArrayLike<number>, expected: Float64Array): void {
  assert.equal(found.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(value - (found[i] ?? NaN)) < 2e-5, `${i}: ${found[i]} for ${value}`);
  });
}
