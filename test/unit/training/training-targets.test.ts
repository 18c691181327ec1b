import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classWeightsOf, trainingTargets } from '../../../src/training/training-targets.ts';

const LOGITS = [
  [1, 2, 0.5],
  [0, -1, 3],
  [2, 2, 2],
];
const LABELS = Int32Array.of(0, 1, 2);
const CLASS_WEIGHTS = [0.5, 2, 1];

/** As the fused kernel has it: sum of weight_i * -sum(row * log softmax), gradient weight_i (softmax - row). */
function lossAndGradient(labelSmoothing: number): { loss: number; gradient: number[][] } {
  const { rows, imageWeights } = trainingTargets(LABELS, {
    ...{ classCount: 3, labelSmoothing, classWeights: CLASS_WEIGHTS },
  });
  let loss = 0;
  const gradient = LOGITS.map((logits, n) => {
    const sum = logits.reduce((total, value) => total + Math.exp(value), 0);
    const weight = imageWeights[n] ?? NaN;
    return logits.map((value, c) => {
      const target = rows[n * 3 + c] ?? NaN;
      loss -= weight * target * (value - Math.log(sum));
      return weight * (Math.exp(value) / sum - target);
    });
  });
  return { loss, gradient };
}

// torch.nn.functional.cross_entropy(LOGITS, LABELS, weight=CLASS_WEIGHTS, label_smoothing=...), PyTorch 2.15
const EXPECTED = {
  0: {
    loss: 2.846447229385376,
    gradient: [
      [-0.10982516407966614, 0.08979024738073349, 0.02003491297364235],
      [0.02663578651845455, -0.5616298317909241, 0.5349940657615662],
      [0.095238097012043, 0.095238097012043, -0.1904762089252472],
    ],
  },
  0.1: {
    loss: 2.7256217002868652,
    gradient: [
      [-0.09589707851409912, 0.08271464705467224, 0.013182421214878559],
      [0.020764056593179703, -0.5239428281784058, 0.5031787753105164],
      [0.09206347912549973, 0.07777776569128036, -0.16984125971794128],
    ],
  },
};

for (const [labelSmoothing, expected] of Object.entries(EXPECTED)) {
  test(`weighted loss and gradient are PyTorch's, label smoothing ${labelSmoothing}`, () => {
    const { loss, gradient } = lossAndGradient(Number(labelSmoothing));
    assert.ok(Math.abs(loss - expected.loss) < 1e-6, String(loss));
    gradient.flat().forEach((value, i) => {
      assert.ok(Math.abs(value - (expected.gradient.flat()[i] ?? NaN)) < 1e-6, `${i}: ${value}`);
    });
  });
}

test('without weights every image counts 1 / N', () => {
  const options = { classCount: 2, labelSmoothing: 0.5, classWeights: null };
  const { rows, imageWeights } = trainingTargets(Int32Array.of(1, 0), options);
  assert.deepEqual([...rows], [0.25, 0.75, 0.75, 0.25]);
  assert.deepEqual([...imageWeights], [0.5, 0.5]);
});

test('class weights: 6 of 8 images are of class 0, 2 of class 1, none of class 2', () => {
  const labels = [0, 0, 1, 0, 0, 1, 0, 0];
  assert.equal(classWeightsOf(labels, 3, 'none'), null);
  // 8 / (3 * 6), 8 / (3 * 2)
  assert.deepEqual(classWeightsOf(labels, 3, 'balanced'), [8 / 18, 8 / 6, 0]);
  const roots = [Math.sqrt(8 / 18), Math.sqrt(8 / 6), 0];
  assert.deepEqual(classWeightsOf(labels, 3, 'square-root'), roots);
});
