import {
  correctLayer,
  type CorrectedLayer,
  type LayerToCorrect,
} from '../../quantization/corrections/correct-layer.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export type CorrectLayerResponse = TaskResult<CorrectedLayer>;

export function run(layer: LayerToCorrect): Promise<CorrectLayerResponse> {
  return settleTask(() => correctLayer(layer));
}
