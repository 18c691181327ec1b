import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensorflow } from '../../../src/runtime/tensorflow.ts';
import { createOptimizer } from '../../../src/training/optimizer.ts';
import type { Optimizer, OptimizerOptions } from '../../../src/training/optimizer-types.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';
import { parametersOf, type UpdatedParameters } from '../../support/updated-parameters.ts';

const GRADIENTS = [
  [0.5, -1, 2],
  [0.25, 0.5, -1],
  [0, 1, 0.125],
];

/** Of PyTorch 2.15 after each gradient: w = [1, -2, 0.5], lr 0.1, weight_decay 0.01, momentum 0.9 or betas (0.8, 0.99), eps 1e-3. */
const EXPECTED: Record<OptimizerOptions['optimizer'], number[][]> = {
  sgd: [
    [0.9490000009536743, -1.8980000019073486, 0.2994999885559082],
    [0.8771510124206543, -1.8543020486831665, 0.2187504768371582],
    [0.8116097450256348, -1.9131195545196533, 0.13335716724395752],
  ],
  nesterov: [
    [0.9031000137329102, -1.8062000274658203, 0.11904997378587723],
    [0.8125741481781006, -1.8151482343673706, 0.14641878008842468],
    [0.752869725227356, -1.9663784503936768, 0.05712965130805969],
  ],
  adam: [
    [0.9001956582069397, -1.9000979661941528, 0.4000498354434967],
    [0.8086694478988647, -1.8767507076263428, 0.3786936104297638],
    [0.7413867115974426, -1.9105863571166992, 0.3591565191745758],
  ],
  adamw: [
    [0.8991996049880981, -1.8980998992919922, 0.3995499610900879],
    [0.8070389032363892, -1.8751147985458374, 0.3780500888824463],
    [0.7401394248008728, -1.9091641902923584, 0.3584337830543518],
  ],
};

function optionsOf(optimizer: OptimizerOptions['optimizer']): OptimizerOptions {
  return { optimizer, momentum: 0.9, beta1: 0.8, beta2: 0.99, epsilon: 1e-3 };
}

function step(tf: Tensorflow, optimizer: Optimizer, gradient: number[] = []): void {
  optimizer.step(new Map([['w', tf.tensor1d(gradient)]]), () => ({
    learningRate: 0.1,
    weightDecay: 0.01,
  }));
}

function valuesOf({ parameters }: UpdatedParameters): number[] {
  return [...(parameters.get('w')?.dataSync() ?? [])];
}

for (const [name, expected] of Object.entries(EXPECTED)) {
  test(`three steps of ${name} are PyTorch's, and a state read back goes on the same`, async (context) => {
    const tf = await tensorflowOrSkip(context);
    if (tf === null) return;
    const options = optionsOf(name as OptimizerOptions['optimizer']); // a key of EXPECTED
    const before = tf.memory().numTensors;
    const whole = parametersOf(tf, [1, -2, 0.5]);
    const optimizer = createOptimizer(tf, whole, options);
    let resumed: { readonly runner: UpdatedParameters; readonly optimizer: Optimizer } | null =
      null;
    GRADIENTS.forEach((gradient, i) => {
      step(tf, optimizer, gradient);
      valuesOf(whole).forEach((value, j) => {
        assert.ok(Math.abs(value - (expected[i]?.[j] ?? NaN)) < 2e-7, `step ${i}: ${value}`);
      });
      if (i !== 0) return;
      const runner = parametersOf(tf, valuesOf(whole));
      resumed = { runner, optimizer: createOptimizer(tf, runner, options) };
      resumed.optimizer.writeState(optimizer.readState());
      for (const later of GRADIENTS.slice(1)) step(tf, resumed.optimizer, later);
      resumed.optimizer.dispose();
    });
    const { runner } = resumed!; // made after the first step
    assert.deepEqual(valuesOf(runner), valuesOf(whole));
    optimizer.dispose();
    for (const { parameters } of [whole, runner]) tf.dispose([...parameters.values()]);
    assert.equal(tf.memory().numTensors, before);
  });
}

test('with a share of the past near 0, Adam forgets gradients that were far larger', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const tensorCount: number = tf.memory().numTensors;
  const network = parametersOf(tf, [1, -2, 0.5]);
  const options = { optimizer: 'adam', momentum: 0, beta1: 0, beta2: 0, epsilon: 1e-12 } as const;
  const optimizer = createOptimizer(tf, network, options);
  const group = { learningRate: 0.125, weightDecay: 0 };
  // With both 0 a step is the rate times the gradient's sign.
  for (const gradient of [
    [8, -4, 1e3],
    [1e-4, 1e-5, -1e-6],
    [-1e-6, 0, 2],
  ]) {
    optimizer.step(new Map([['w', tf.tensor1d(gradient)]]), () => group);
  }
  const expected = [1 - 0.125, -2, 0.5 - 0.125];
  valuesOf(network).forEach((value, i) => {
    assert.ok(Math.abs(value - (expected[i] ?? NaN)) < 1e-6, `${i}: ${value}`);
  });
  optimizer.dispose();
  tf.dispose([...network.parameters.values()]);
  assert.equal(tf.memory().numTensors, tensorCount);
});

test('a step works in place, but changes no tensor that shares memory with what it updates', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  for (const name of ['sgd', 'nesterov', 'adam', 'adamw'] as const) {
    const tensorCount: number = tf.memory().numTensors;
    const network = parametersOf(tf, [1, -2, 0.5]);
    const optimizer = createOptimizer(tf, network, optionsOf(name));
    const weight = network.parameters.get('w')!.clone();
    const gradient = tf.tensor1d([0.5, -1, 2]);
    const kept = gradient.clone();
    for (let i = 0; i < 2; i += 1) {
      optimizer.step(new Map([['w', gradient.clone()]]), () => ({
        ...{ learningRate: 0.1, weightDecay: 0.01 },
      }));
    }
    const readState = (): Float32Array[] =>
      [...optimizer.readState().values()].map((state) => state.read());
    const state = readState();
    const found = network.parameters.get('w')!.clone();
    step(tf, optimizer, [1, 1, 1]);
    assert.deepEqual([...weight.dataSync()], [1, -2, 0.5]);
    assert.deepEqual([...kept.dataSync()], [0.5, -1, 2]);
    assert.notDeepEqual([...found.dataSync()], valuesOf(network));
    assert.notDeepEqual(state, readState());
    optimizer.dispose();
    tf.dispose([weight, gradient, kept, found, ...network.parameters.values()]);
    assert.equal(tf.memory().numTensors, tensorCount);
  }
});
