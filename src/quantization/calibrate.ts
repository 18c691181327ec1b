import type { CalibrationTable } from './calibration-table.ts';
import { chooseRanges, observerFor, type RangeChoice } from './choose-range.ts';
import { observeActivations, type ObserveOptions } from './observe-activations.ts';

export type CalibrateOptions = ObserveOptions & RangeChoice;

/**
 * The range of every tensor that quantization needs, from one pass over the images. Values are
 * observed and dropped; the result does not depend on the number of workers.
 */
export async function calibrate(options: CalibrateOptions): Promise<CalibrationTable['tensors']> {
  const { kept } = await observeActivations({ ...options, observer: observerFor(options.method) });
  return chooseRanges(kept, options);
}
