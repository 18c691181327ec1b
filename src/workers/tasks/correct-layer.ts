import {
  correctLayer,
  type CorrectedLayer,
  type LayerToCorrect,
} from '../../quantization/corrections/correct-layer.ts';
import { releaseModel } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export type CorrectLayerResponse = TaskResult<CorrectedLayer>;

export function run(layer: LayerToCorrect): Promise<CorrectLayerResponse> {
  return settleTask(async () => {
    await releaseModel();
    return correctLayer(layer);
  });
}
