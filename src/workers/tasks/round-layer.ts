import { roundLayer, type RoundLayer } from '../../quantization/corrections/round-layer.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export type RoundLayerResponse = TaskResult<Int8Array>;

export function run(layer: RoundLayer): Promise<RoundLayerResponse> {
  return settleTask(() => roundLayer(layer));
}
