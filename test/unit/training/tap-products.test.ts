import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKernels } from '../../../src/training/kernels.ts';
import { cpuHasBfloat16 } from '../../../src/benchmark/machine.ts';
import { usablePrecision } from '../../../src/training/precision.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

const CASES = [
  { kernelSize: 1, stride: 1, pad: 0, size: 5 },
  { kernelSize: 3, stride: 1, pad: 1, size: 7 },
  { kernelSize: 3, stride: 1, pad: 0, size: 6 },
  { kernelSize: 3, stride: 2, pad: 1, size: 8 },
] as const;

for (const { kernelSize, stride, pad, size } of CASES) {
  test(`in bfloat16 the weight gradient of ${kernelSize} x ${kernelSize}, stride ${stride}, padding ${pad} is float32's to rounding, and always the same`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const before = tf.memory().numTensors;
    const [images, channels, filters] = [4, 16, 24];
    const outputSize = Math.floor((size + 2 * pad - kernelSize) / stride) + 1;
    const window = {
      ...{ kernelSize, stride, depthwise: false },
      padding: { top: pad, bottom: pad, left: pad, right: pad },
      inputShape: { height: size, width: size },
    };
    const x = tf.randomNormal([images, size, size, channels], 0, 1, 'float32', 1);
    const dy = tf.randomNormal([images, outputSize, outputSize, filters], 0, 1, 'float32', 2);
    const shape = [kernelSize, kernelSize, channels, filters];
    const exact = createKernels(tf).convolutionWeightGradient(dy, x, window, shape);
    const kernels = createKernels(tf, { precision: usablePrecision('bfloat16', cpuHasBfloat16()) });
    const [halfX, halfDy] = [kernels.toCompute(x), kernels.toCompute(dy)];
    const found = [0, 1, 2].map(() =>
      kernels.convolutionWeightGradient(halfDy, halfX, window, shape),
    );
    const [expected, ...others] = [exact, ...found].map((tensor) => [...tensor.dataSync()]);
    const norm = (values: readonly number[]): number => Math.hypot(...values);
    assert.deepEqual(found[0]?.shape, shape);
    const difference = expected!.map((value, i) => value - others[0]![i]!);
    assert.ok(norm(difference) < 5e-3 * norm(expected!), String(norm(difference)));
    for (const other of others.slice(1)) assert.deepEqual(other, others[0]);
    tf.dispose([x, dy, exact, halfX, halfDy, ...found]);
    assert.equal(tf.memory().numTensors, before);
  });
}
