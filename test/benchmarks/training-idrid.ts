/**
 * MobileNetV2 fine-tuned on retina photographs by the pipeline's `finetune` profile, once a seed: top-1
 * and quadratic weighted kappa on the test photographs, which chose nothing, and the time it took.
 *
 * npm run bench -- training-idrid --shared FOLDER [--seeds 0,1,2]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { quantileOfSorted } from '../../src/numeric/quantile.ts';
import { requiredFolder, renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import { runPipeline } from '../support/pipeline-run.ts';

const LEAST_TOP1_PERCENT = 57;
const LEAST_KAPPA = 0.68;
const MOST_MINUTES = 15;

interface Training {
  readonly seed: number;
  readonly top1Percent: number;
  readonly kappa: number;
  readonly minutes: number;
  readonly epoch: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { shared: { type: 'string' }, seeds: { type: 'string', default: '0,1,2' } },
  });
  const shared = requiredFolder('--shared', values.shared);
  const trainings: Training[] = [];
  for (const seed of values.seeds.split(',').map(Number)) {
    const training = await trainOnce(shared, seed);
    trainings.push(training);
    say(`seed ${seed}: ${training.top1Percent.toFixed(1)} %, kappa ${training.kappa.toFixed(3)}`);
  }
  const medianOf = (read: (training: Training) => number): number =>
    quantileOfSorted(
      trainings.map(read).sort((a, b) => a - b),
      0.5,
    );
  const median = {
    top1Percent: medianOf(({ top1Percent }) => top1Percent),
    kappa: medianOf(({ kappa }) => kappa),
    minutes: medianOf(({ minutes }) => minutes),
  };
  const row = (name: string, { top1Percent, kappa, minutes }: typeof median) => ({
    seed: name,
    'top-1 %': top1Percent.toFixed(2),
    kappa: kappa.toFixed(3),
    minutes: minutes.toFixed(1),
  });
  console.log(
    renderRows([
      ...trainings.map((training) => row(String(training.seed), training)),
      row('median', median),
    ]),
  );
  const passed =
    median.top1Percent >= LEAST_TOP1_PERCENT &&
    median.kappa >= LEAST_KAPPA &&
    median.minutes <= MOST_MINUTES;
  console.log(JSON.stringify({ benchmark: 'training-idrid', passed, median, trainings }));
  if (!passed) process.exitCode = 1;
}

function trainOnce(shared: string, seed: number): Promise<Training> {
  const run = {
    pipeline: 'mobilenet',
    stage: 'evaluate-fp32',
    profile: 'finetune',
    settings: {
      'vars.dataset': join(shared, 'data', 'idrid'),
      'vars.weights': join(shared, 'models', 'mobilenet_v2_imagenet.safetensors'),
      'vars.seed': String(seed),
    },
  };
  return runPipeline(run, async (metricOf) => ({
    seed,
    top1Percent: 100 * (await metricOf('evaluate-fp32', 'top1Fraction')),
    kappa: await metricOf('evaluate-fp32', 'quadraticWeightedKappa'),
    minutes: (await metricOf('train', 'trainingSeconds')) / 60,
    epoch: await metricOf('train', 'chosenEpoch'),
  }));
}

await runProgramMain(main);
