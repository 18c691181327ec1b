import type { OnnxModel } from '../onnx/model.ts';
import { collectGarbage } from '../runtime/collect-garbage.ts';
import {
  calibrateBy,
  type AutomaticCalibration,
  type AutomaticOptions,
} from './calibrate-automatically.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { resolveEqualization } from './corrections/choose-equalization.ts';
import { equalize } from './corrections/equalize.ts';
import { withThreadsOf } from './image-pass.ts';
import { prepareModel } from './prepare-model.ts';
import type { RangeMethod, EqualizationChoice } from './choices.ts';

export interface EqualizeAndCalibrateOptions extends Omit<AutomaticOptions, 'model'> {
  /** As it was read. */
  readonly model: OnnxModel;
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
    return calibrateBy({ ...options, model: prepareModel(options.model) });
  }
  let equalizedCount = 0;
  const { changes, model } = await equalize({
    ...options,
    model: prepareModel(options.model),
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
