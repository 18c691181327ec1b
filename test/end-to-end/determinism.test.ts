import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  compareLocks,
  DETERMINISM_STAGES,
  runArguments,
  writeDeterminismProject,
} from '../support/determinism.ts';
import { createRig } from '../support/rig.ts';
import { tinyConvnet } from '../support/tiny-convnet.ts';

test('two projects, one worker and two: the same keys and the same bytes', async (context) => {
  const sizePx = 32;
  const model = tinyConvnet('N', sizePx);
  const rigs = [];
  for (const workerCount of [1, 2]) {
    const rig = await createRig(context);
    const settings = { sizePx, trainImagesPerClass: 3, calibrationCount: 8, model };
    await writeDeterminismProject(rig.root, settings);
    const { exitCode, stderr } = await rig.drq(...runArguments(workerCount));
    assert.equal(exitCode, 0, stderr);
    rigs.push(rig);
  }
  const [one, two] = rigs;
  assert.ok(one !== undefined && two !== undefined);

  const comparisons = await compareLocks(one.root, two.root);
  assert.deepEqual(
    comparisons.map(({ stageId, sameKey, differentOutputs }) => [
      stageId,
      sameKey,
      differentOutputs,
    ]),
    DETERMINISM_STAGES.map((stageId) => [stageId, true, []]),
  );
  const experiments = (rig: typeof one): string => rig.path('experiments', 'determinism');
  const [a, b] = [experiments(one), experiments(two)];
  assert.deepEqual(await one.drq('diff', a, b), {
    exitCode: 0,
    stdout: `determinism: A = ${a}, B = ${b}\n  no difference in the 5 stages of both\n`,
    stderr: '',
  });
});
