/**
 * A training killed with SIGKILL, its parent too, at random instants: each time `drq run` again has to
 * end with the weights of a training that was never stopped.
 *
 * npm run bench -- training-resume [--instants 20] [--seed 0]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createRandom } from '../../src/numeric/random.ts';
import { positiveInteger, renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import {
  killTraining,
  prepareTrainingProject,
  trainedWeights,
  trainToTheEnd,
} from '../support/training-resume.ts';

/** Of the time of a run, until the training has begun: before it nothing could be lost. */
const STARTED_FRACTION = 0.3;
/** For kernels that add in another order; those used here do not. */
const LARGEST_DIFFERENCE = 1e-5;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      instants: { type: 'string', default: '20' },
      seed: { type: 'string', default: '0' },
    },
  });
  const instantCount = positiveInteger('--instants', values.instants);
  const random = createRandom(Number(values.seed), 'kill');
  const scratch = await mkdtemp(join(tmpdir(), 'drq-resume-'));
  try {
    const prepared = join(scratch, 'prepared');
    const whole = join(scratch, 'whole');
    const size = { epochs: 5, imagesPerClass: 12, sizePx: 64 };
    await prepareTrainingProject(prepared, size);
    await prepareTrainingProject(whole, size);
    const reference = await trainToTheEnd(whole);
    let { durationMs } = reference;
    const expected = await trainedWeights(whole);
    say(`never stopped: ${(durationMs / 1000).toFixed(1)} s`);
    const kills: Kill[] = [];
    while (kills.length < instantCount) {
      const folder = join(scratch, `killed-${kills.length}`);
      const afterMs = (STARTED_FRACTION + (1 - STARTED_FRACTION) * random.next()) * durationMs;
      if (!(await killTraining(prepared, folder, afterMs))) {
        await rm(folder, { recursive: true });
        durationMs = afterMs; // it ran faster than the first and had ended
        continue;
      }
      const { digest, resumedFrom } = await trainToTheEnd(folder);
      const difference = largestDifference(expected, await trainedWeights(folder));
      const kill: Kill = {
        afterSeconds: afterMs / 1000,
        goesOn: resumedFrom ?? 'the start',
        hasSameBytes: digest === reference.digest,
        difference,
      };
      kills.push(kill);
      const { 'killed after s': seconds, weights } = rowOf(kill);
      say(`${kills.length}/${instantCount}  killed after ${seconds} s, ${kill.goesOn}, ${weights}`);
      await rm(folder, { recursive: true });
    }
    const rightCount = kills.filter(({ difference }) => difference <= LARGEST_DIFFERENCE).length;
    const passed = rightCount === kills.length;
    say(`${rightCount} of ${kills.length} end with the weights of the training never stopped`);
    process.stdout.write(`${renderRows(kills.map(rowOf))}\n`);
    console.log(JSON.stringify({ benchmark: 'training-resume', passed, kills }));
    if (!passed) process.exitCode = 1;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

interface Kill {
  readonly afterSeconds: number;
  /** Where the training went on. */
  readonly goesOn: string;
  readonly hasSameBytes: boolean;
  /** Largest of the final weights from those of the training never stopped. */
  readonly difference: number;
}

function rowOf({ afterSeconds, goesOn, hasSameBytes, difference }: Kill) {
  return {
    'killed after s': afterSeconds.toFixed(2),
    'goes on': goesOn,
    weights: hasSameBytes ? 'same bytes' : difference.toExponential(1),
  };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity;
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? NaN))), 0);
}

await runProgramMain(main);
