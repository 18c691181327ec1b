import type { ReadModel } from '../onnx/reader.ts';
import { collectGarbage } from '../runtime/collect-garbage.ts';
import {
  calibrateBy,
  type AutomaticCalibration,
  type AutomaticOptions,
} from './calibrate-automatically.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { resolveEqualization } from './corrections/choose-equalization.ts';
import { equalize, type EqualizedModel, type EqualizeOptions } from './corrections/equalize.ts';
import { withThreadsOf } from './image-pass.ts';
import { prepareModel } from './prepare-model.ts';
import type { Equalization, EqualizationChoice, Granularity, RangeMethod } from './choices.ts';

export interface EqualizeAndCalibrateOptions extends Omit<AutomaticOptions, 'model'> {
  /** Called once a network, so that the weights as they were read need not outlive the equalized ones. */
  readonly readModel: ReadModel;
  readonly method: RangeMethod | 'auto';
  readonly equalization: EqualizationChoice;
  /** Of the weights that are quantized with the table, where it is known. */
  readonly granularity?: Granularity;
}

/** The parts of a calibration table that follow from the model and the images. */
export type Calibration = Pick<CalibrationTable, 'tensors' | 'equalization'> &
  Partial<Pick<AutomaticCalibration, 'selection'>>;

/** Equalizes the model, which changes ranges, then finds them. */
export async function equalizeAndCalibrate(
  options: EqualizeAndCalibrateOptions,
): Promise<Calibration> {
  const calibration = await withThreadsOf(options, (threads) =>
    calibrateOnThreads({ ...options, threads }),
  );
  collectGarbage(); // the prepared models
  return calibration;
}

async function calibrateOnThreads(options: EqualizeAndCalibrateOptions): Promise<Calibration> {
  const { equalization, images, granularity } = options;
  const method = resolveEqualization(equalization, images.indices.length, granularity);
  // Without candidates there are no scores to tell by.
  if (method === 'unsure' && options.method === 'auto') return calibrateBothWays(options);
  return method === 'none' || method === 'unsure'
    ? calibratePlain(options)
    : calibrateEqualized(options, method);
}

async function calibratePlain(options: EqualizeAndCalibrateOptions): Promise<Calibration> {
  return calibrateBy({ ...options, model: prepareModel(await options.readModel()) });
}

async function calibrateEqualized(
  options: EqualizeAndCalibrateOptions,
  method: Exclude<Equalization, 'none'>,
): Promise<Calibration> {
  const { onProgress } = options;
  const imageCount = options.images.indices.length;
  let equalizedCount = 0;
  const { changes, model } = await equalizeRead({
    ...options,
    method,
    onProgress: (done, total) => {
      equalizedCount = total;
      onProgress?.(done, total + imageCount);
    },
  });
  collectGarbage(); // the model as it was, and pieces of the new one
  const calibration = await calibrateBy({
    ...options,
    model,
    onProgress: (done, total) => onProgress?.(equalizedCount + done, equalizedCount + total),
  });
  return { ...calibration, equalization: { method, changes } };
}

/**
 * How much better a network of few images must be with its channels equalized, on held-out images and
 * where there are none to hold out, on those that the ranges are from: a MobileNetV2 calibrated on one
 * image loses 7 dB on others, one whose channels lie a factor of 400 apart wins 27.
 */
const LEAST_GAIN_DB = { heldOut: 2.5, same: 8 } as const;

/** With and without equalization, where images are too few to know which is better: what scores better. */
async function calibrateBothWays(options: EqualizeAndCalibrateOptions): Promise<Calibration> {
  const { onProgress, images } = options;
  const half = (part: 0 | 1) => (done: number, total: number) =>
    onProgress?.(done + part * total, 2 * total);
  const plain = await calibratePlain({ ...options, onProgress: half(0) });
  const equalized = await calibrateEqualized({ ...options, onProgress: half(1) }, 'activations');
  if (equalized.equalization?.changes.length === 0) return plain;
  const isHeldOut = (plain.selection?.heldOutImageCount ?? 0) < images.indices.length;
  const gainDb = chosenDb(equalized) - chosenDb(plain);
  return gainDb >= LEAST_GAIN_DB[isHeldOut ? 'heldOut' : 'same'] ? equalized : plain;
}

/** Of the ranges that were chosen; Infinity: no noise at all; -Infinity: outputs that are not finite. */
function chosenDb({ selection }: Calibration): number {
  const chosen = selection?.candidates.find(({ method }) => method === selection.method);
  if (chosen === undefined || chosen.notFiniteImageCount !== undefined) return -Infinity;
  return chosen.sqnrDb ?? Infinity;
}

/** A function of its own, so that nothing holds the model as it was read once this has ended. */
async function equalizeRead(
  options: Omit<EqualizeOptions, 'model'> & Pick<EqualizeAndCalibrateOptions, 'readModel'>,
): Promise<EqualizedModel> {
  return equalize({ ...options, model: prepareModel(await options.readModel()) });
}
