/**
 * The quickstart's network trained in float32 and in bfloat16 from the same weights on the same batches,
 * once a seed: top-1 of the last epoch on a thousand validation images, where one image is a tenth of a
 * point. Trainings that differ in nothing but rounding drift apart, so the means over the seeds count. At
 * a learning rate of 0.05 the first epochs are unsteady and one seed ends 20 points
 * above another in either precision, hence a smaller one.
 *
 * npm run bench -- training-precision [--seeds 0,1,2] [--epochs 8] [--learning-rate 0.01]
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
      epochs: { type: 'string', default: '8' },
      'learning-rate': { type: 'string', default: '0.01' },
    },
  });
  if (usablePrecision('bfloat16', cpuHasBfloat16()) === 'float32') {
    throw new UsageError({
      code: 'usage/no-bfloat16',
      message: 'this CPU has no instructions for bfloat16, so there is nothing to compare',
    });
  }
  const epochs = positiveInteger('--epochs', values.epochs);
  const learningRate = values['learning-rate'];
  const trainings: Training[] = [];
  for (const seed of values.seeds.split(',').map(Number)) {
    for (const precision of PRECISIONS) {
      const training = await trainOnce({ seed, precision, epochs, learningRate });
      trainings.push(training);
      say(`seed ${seed}, ${precision}: ${training.top1Percent.toFixed(2)} %`);
    }
  }
  const meanOf = (wanted: Training['precision']): number => {
    const found = trainings.filter(({ precision }) => precision === wanted);
    return found.reduce((sum, { top1Percent }) => sum + top1Percent, 0) / found.length;
  };
  const means = { float32: meanOf('float32'), bfloat16: meanOf('bfloat16') };
  const dropPoints = means.float32 - means.bfloat16;
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
  const passed = dropPoints <= MOST_POINTS;
  console.log(
    JSON.stringify({ benchmark: 'training-precision', passed, dropPoints, means, trainings }),
  );
  if (!passed) process.exitCode = 1;
}

function trainOnce({
  seed,
  precision,
  epochs,
  learningRate,
}: Pick<Training, 'seed' | 'precision'> & {
  readonly epochs: number;
  readonly learningRate: string;
}): Promise<Training> {
  const run = {
    pipeline: 'quickstart',
    stage: 'train',
    settings: {
      'vars.seed': String(seed),
      'vars.epochs': String(epochs),
      'vars.validationPerClass': String(VALIDATION_PER_CLASS),
      'stages.train.parameters.precision': precision,
      'stages.train.parameters.learningRate': learningRate,
    },
  };
  return runPipeline(run, async (metricOf) => ({
    ...{ seed, precision },
    top1Percent: 100 * (await metricOf('train', 'validationTop1Fraction')),
    loss: await metricOf('train', 'validationLoss'),
  }));
}

await runProgramMain(main);
