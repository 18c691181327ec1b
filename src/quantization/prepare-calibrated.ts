import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { moveWeightsTogether } from '../onnx/tensor-data.ts';
import { applyEqualization } from './corrections/equalization.ts';
import { prepareModel } from './prepare-model.ts';

/** The prepared model whose tensors `table` holds the ranges of: equalized where the table says so. */
export function prepareCalibrated(
  model: OnnxModel,
  { equalization }: Pick<CalibrationTable, 'equalization'>,
): OnnxModel {
  const prepared = prepareModel(model);
  const changes = equalization?.changes ?? [];
  if (changes.length === 0) return prepared;
  applyEqualization(graphOf(prepared), changes);
  moveWeightsTogether(graphOf(prepared).initializer);
  return prepared;
}
