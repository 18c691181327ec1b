/**
 * The quickstart trained in float32 and in bfloat16 by its own recipe, from the same weights on the same
 * batches, once a seed: top-1 of the last epoch on a thousand validation images, where one image is a tenth of
 * a point. Trainings that differ in nothing but rounding drift apart, so the means over the seeds count, and
 * the standard error of their difference says how far they can be told apart: after eight of the
 * twelve epochs, or at 2.5 times the rate, single seeds of either precision end 5 to 20 points below the others.
 *
 * npm run bench -- training-precision [--seeds 0,1,2] [--epochs N] [--learning-rate RATE]
 */
import { parseArgs } from 'node:util';
import { UsageError } from '../../src/diagnostics/errors.ts';
import { cpuHasBfloat16 } from '../../src/benchmark/machine.ts';
import { PRECISIONS, usablePrecision } from '../../src/training/precision.ts';
import { positiveInteger, renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import { runPipeline } from '../support/pipeline-run.ts';

const MOST_POINTS = 1;
/** Of each of the quickstart's seven grades. */
const VALIDATION_PER_CLASS = 150;

interface Training {
  readonly seed: number;
  readonly precision: (typeof PRECISIONS)[number];
  readonly top1Percent: number;
  readonly loss: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '0,1,2' },
      epochs: { type: 'string' },
      'learning-rate': { type: 'string' },
    },
  });
  if (usablePrecision('bfloat16', cpuHasBfloat16()) === 'float32') {
    throw new UsageError({
      code: 'usage/no-bfloat16',
      message: 'this CPU has no instructions for bfloat16, so there is nothing to compare',
    });
  }
  const settings: Record<string, string> = {};
  if (values.epochs !== undefined) {
    settings['vars.epochs'] = String(positiveInteger('--epochs', values.epochs));
  }
  const learningRate = values['learning-rate'];
  if (learningRate !== undefined) {
    settings['stages.train.parameters.learningRate'] = learningRate;
  }
  const trainings: Training[] = [];
  for (const seed of values.seeds.split(',').map(Number)) {
    for (const precision of PRECISIONS) {
      const training = await trainOnce({ seed, precision, settings });
      trainings.push(training);
      say(`seed ${seed}, ${precision}: ${training.top1Percent.toFixed(2)} %`);
    }
  }
  const accuraciesIn = (wanted: Training['precision']): number[] =>
    trainings.filter(({ precision }) => precision === wanted).map(({ top1Percent }) => top1Percent);
  const [exact, short] = [accuraciesIn('float32'), accuraciesIn('bfloat16')];
  const means = { float32: mean(exact), bfloat16: mean(short) };
  const dropPoints = means.float32 - means.bfloat16;
  const standardError = Math.hypot(errorOfMean(exact), errorOfMean(short));
  console.log(
    renderRows([
      ...trainings.map(({ seed, precision, top1Percent, loss }) => ({
        ...{ seed: String(seed), precision },
        'validation top-1 %': top1Percent.toFixed(2),
        'validation loss': loss.toFixed(4),
      })),
      ...PRECISIONS.map((precision) => ({
        ...{ seed: 'mean', precision },
        'validation top-1 %': means[precision].toFixed(2),
        'validation loss': '',
      })),
    ]),
  );
  say(`bfloat16 loses ${dropPoints.toFixed(2)} points, standard error ${standardError.toFixed(2)}`);
  const passed = dropPoints <= MOST_POINTS;
  console.log(
    JSON.stringify({
      ...{ benchmark: 'training-precision', passed, dropPoints, standardError, means, trainings },
    }),
  );
  if (!passed) process.exitCode = 1;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** From the sample's own variance; NaN for a single value. */
function errorOfMean(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

function trainOnce({
  seed,
  precision,
  settings,
}: Pick<Training, 'seed' | 'precision'> & {
  readonly settings: Readonly<Record<string, string>>;
}): Promise<Training> {
  const run = {
    pipeline: 'quickstart',
    stage: 'train',
    settings: {
      'vars.seed': String(seed),
      'vars.validationPerClass': String(VALIDATION_PER_CLASS),
      'stages.train.parameters.precision': precision,
      ...settings,
    },
  };
  return runPipeline(run, async (metricOf) => ({
    ...{ seed, precision },
    top1Percent: 100 * (await metricOf('train', 'validationTop1Fraction')),
    loss: await metricOf('train', 'validationLoss'),
  }));
}

await runProgramMain(main);
