import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareFingerprints } from '../../../src/plan/compare-fingerprints.ts';
import { describeReasons } from '../../../src/plan/reason.ts';
import type { StageFingerprint } from '../../../src/plan/stage-key.ts';
import type { Digest } from '../../../src/stage/artifact.ts';
import type { LockedStage } from '../../../src/store/pipeline-lock.ts';

const one = '11'.repeat(32) as Digest;
const two = '22'.repeat(32) as Digest;
const locked: LockedStage = {
  key: one,
  kind: 'quantize',
  version: 1,
  parameters: { epochs: 5, recipe: { rate: 0.1, steps: [1, 2] }, text: '' },
  inputs: { model: one, table: one },
  runtimes: { 'onnxruntime-node': '1.29.0' },
  outputs: {},
  metrics: {},
};
const same: StageFingerprint = {
  kind: 'quantize',
  version: 1,
  parameters: locked.parameters,
  inputs: locked.inputs,
  runtimes: locked.runtimes,
};

function reasons(change: Partial<StageFingerprint>): string {
  return describeReasons(compareFingerprints(locked, { ...same, ...change }));
}

test('each difference has its wording', () => {
  assert.equal(
    reasons({ parameters: { ...same.parameters, epochs: 10 } }),
    'parameters.epochs 5 → 10',
  );
  assert.equal(
    reasons({ parameters: { ...same.parameters, recipe: { rate: 0.2, steps: [1] } } }),
    'parameters.recipe.rate 0.1 → 0.2, parameters.recipe.steps [1,2] → [1]',
  );
  assert.equal(
    reasons({ parameters: { ...same.parameters, extra: 'x' } }),
    'parameters.extra set to x',
  );
  assert.equal(
    reasons({ parameters: { epochs: 5, recipe: same.parameters['recipe'] ?? null } }),
    'parameters.text "" removed',
  );
  assert.equal(reasons({ inputs: { model: two, table: one } }), 'input model changed');
  assert.equal(
    reasons({ inputs: { model: one, list: one } }),
    'input list is new, input table is no longer given',
  );
  assert.equal(reasons({ version: 2 }), 'kind version 1 → 2');
  assert.equal(reasons({ kind: 'import' }), 'kind quantize → import');
  assert.equal(
    reasons({ runtimes: { 'onnxruntime-node': '1.30.0' } }),
    'onnxruntime-node 1.29.0 → 1.30.0',
  );
  assert.equal(reasons({ source: one }), 'source of the stage kind changed');
  assert.equal(reasons({ machine: one }), 'machine changed');
  assert.equal(reasons({ outputs: {} }), 'declared outputs changed');
  assert.equal(reasons({}), 'form of keys changed');
});

test('long values are shortened and many reasons counted', () => {
  assert.equal(
    reasons({ parameters: { a: 1, b: 2, epochs: 5, text: 'x'.repeat(50) } }),
    'parameters.a set to 1, parameters.b set to 2, parameters.recipe {"rate":0.1,"steps":[1,2]} removed and 1 more',
  );
  assert.equal(
    reasons({ parameters: { ...same.parameters, text: 'x'.repeat(50) } }),
    `parameters.text "" → ${'x'.repeat(39)}…`,
  );
});
