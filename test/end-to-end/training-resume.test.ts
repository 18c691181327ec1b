import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/stage-context.ts';
import { tensorflowOrSkip } from '../support/tensorflow.ts';
import { killTraining, prepareTrainingProject, trainToTheEnd } from '../support/training-resume.ts';

// `npm run bench -- training-resume` does the same at twenty random instants.
test('a training killed with all its processes goes on and ends with the same weights', async (context) => {
  if ((await tensorflowOrSkip(context)) === null) return;
  const folder = await temporaryFolder(context);
  const prepared = join(folder, 'prepared');
  const whole = join(folder, 'whole');
  const size = { epochs: 4, imagesPerClass: 8, sizePx: 48 };
  await prepareTrainingProject(prepared, size);
  await prepareTrainingProject(whole, size);
  const reference = await trainToTheEnd(whole);
  assert.equal(reference.resumedFrom, null);
  for (const fraction of [0.6, 0.85]) {
    const killed = join(folder, String(fraction));
    const wasKilled = await killTraining(prepared, killed, fraction * reference.durationMs);
    const { digest, resumedFrom } = await trainToTheEnd(killed);
    context.diagnostic(
      wasKilled ? `went on ${resumedFrom ?? 'from the start'}` : 'it had ended before the kill',
    );
    assert.equal(digest, reference.digest);
    assert.deepEqual(await readdir(join(killed, 'artifacts/checkpoints')), []);
  }
});
