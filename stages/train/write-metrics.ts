import type { z } from 'zod';
import type { InitialWeights } from '../../src/models/initial-weights.ts';
import type { Network } from '../../src/models/network.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import type { KernelTime } from '../../src/training/kernel-times.ts';
import type { TrainingResult } from '../../src/training/training-loop.ts';
import type { trainParameters } from './parameters.ts';
import { NO_BFLOAT16, precisionOf } from './start-network.ts';

type Context = StageContext<z.output<typeof trainParameters>>;

export interface MetricsSource {
  readonly result: TrainingResult;
  readonly initial: Omit<InitialWeights, 'weights'>;
  readonly network: Network;
  /** Largest relative difference between the ONNX file's logits and the network's own. */
  readonly exportError: number;
  readonly kernelTimes: readonly KernelTime[] | null;
  /** Images of a whole epoch. */
  readonly trainImageCount: number;
}

/** Writes what the training came to, for the table and for people. */
export async function writeMetrics(context: Context, source: MetricsSource): Promise<void> {
  const { result, initial, network, exportError, kernelTimes, trainImageCount } = source;
  const { chosenEpoch, epochs } = result;
  const imageCount = epochs.reduce((sum, epoch) => sum + epoch.imageCount, 0);
  const seconds = epochs.reduce((sum, epoch) => sum + epoch.imageCount / epoch.imagesPerSecond, 0);
  const { validation } = chosenEpoch;
  const neutral = 'neutral' as const;
  await writeMetricsFile(context.outputs['metrics']!, {
    values: [
      { name: 'epochs', value: epochs.length, unit: '', direction: neutral },
      { name: 'chosenEpoch', value: chosenEpoch.epoch, unit: '', direction: neutral },
      ...(validation === null
        ? []
        : ([
            {
              name: 'validationTop1Fraction',
              value: validation.top1Fraction,
              unit: 'fraction',
              direction: 'higher-is-better',
            },
            {
              name: 'validationLoss',
              value: validation.loss,
              unit: '',
              direction: 'lower-is-better',
            },
          ] as const)),
      { name: 'trainLoss', value: chosenEpoch.trainLoss, unit: '', direction: neutral },
      {
        name: 'imagesPerSecond',
        value: imageCount / seconds,
        unit: 'imagesPerSecond',
        direction: 'higher-is-better',
      },
      { name: 'trainingSeconds', value: result.trainingMs / 1000, unit: 's', direction: neutral },
      {
        name: 'exportErrorFraction',
        value: exportError,
        unit: 'fraction',
        direction: 'lower-is-better',
      },
    ],
    notes: [trainingNote(context, result, initial, endedWithin(result, trainImageCount))],
    details: {
      network: { ...network.options },
      precision: precisionOf(context.parameters),
      initialWeights: initial.description,
      replacedParameters: [...initial.replaced],
      stoppedBy: result.stoppedBy,
      ...(kernelTimes === null ? {} : { kernelTimes: kernelTimes.map((time) => ({ ...time })) }),
    },
  });
}

/** Where in an epoch a time limit ended the training, such as `after 12 of 347 images of epoch 1`; null: after one. */
export function endedWithin({ epochs }: TrainingResult, trainImageCount: number): string | null {
  const last = epochs.at(-1);
  if (last === undefined || last.imageCount === trainImageCount) return null;
  return `after ${last.imageCount} of ${trainImageCount} images of epoch ${last.epoch}`;
}

/** One line for the table: `trained 14 epochs from random weights (time limit 60 min)`. */
function trainingNote(
  { parameters }: Context,
  { epochs, stoppedBy }: TrainingResult,
  initial: MetricsSource['initial'],
  within: string | null,
): string {
  const plural = epochs.length === 1 ? 'epoch' : 'epochs';
  const limit =
    stoppedBy === 'time-limit'
      ? ` (time limit ${String(parameters.timeLimitMinutes)} min${within === null ? '' : `, ${within}`})`
      : stoppedBy === 'early-stopping'
        ? ` (nothing better in the last ${String(parameters.patience)})`
        : '';
  const optimistic =
    parameters.validationSplit === 'test' && parameters.checkpoint === 'best'
      ? '; the test images chose the checkpoint, so their accuracy is optimistic'
      : '';
  const unlike = precisionOf(parameters) === parameters.precision ? '' : `; ${NO_BFLOAT16}`;
  return `trained ${epochs.length} ${plural} from ${initial.description}${limit}${optimistic}${unlike}`;
}
