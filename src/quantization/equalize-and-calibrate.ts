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
import type { RangeMethod, EqualizationChoice } from './choices.ts';

export interface EqualizeAndCalibrateOptions extends Omit<AutomaticOptions, 'model'> {
  /** Called once, so that the weights as they were read need not outlive the equalized ones. */
  readonly readModel: ReadModel;
  readonly method: RangeMethod | 'auto';
  readonly equalization: EqualizationChoice;
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
  const { onProgress } = options;
  const imageCount = options.images.indices.length;
  const method = resolveEqualization(options.equalization, imageCount);
  if (method === 'none') {
    return calibrateBy({ ...options, model: prepareModel(await options.readModel()) });
  }
  let equalizedCount = 0;
  const { changes, model } = await equalizeRead({
    ...options,
    method,
    onProgress: (done, total) => {
      equalizedCount = total;
      onProgress?.(done, total + imageCount);
    },
  });
  const calibration = await calibrateBy({
    ...options,
    model,
    onProgress: (done, total) => onProgress?.(equalizedCount + done, equalizedCount + total),
  });
  return { ...calibration, equalization: { method, changes } };
}

/** A function of its own, so that nothing holds the model as it was read once this has ended. */
async function equalizeRead(
  options: Omit<EqualizeOptions, 'model'> & Pick<EqualizeAndCalibrateOptions, 'readModel'>,
): Promise<EqualizedModel> {
  return equalize({ ...options, model: prepareModel(await options.readModel()) });
}
