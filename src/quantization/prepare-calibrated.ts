import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { applyEqualization } from './corrections/equalization.ts';
import { prepareModel } from './prepare-model.ts';

/** The prepared model whose tensors `table` holds the ranges of: equalized where the table says so. */
export function prepareCalibrated(
  model: OnnxModel,
  { equalization }: Pick<CalibrationTable, 'equalization'>,
): OnnxModel {
  const prepared = prepareModel(model);
  applyEqualization(graphOf(prepared), equalization?.changes ?? []);
  return prepared;
}
