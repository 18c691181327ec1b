import { indexGraph } from '../onnx/graph-edit.ts';
import { graphOf } from '../onnx/model.ts';
import { prepareCalibrated } from './prepare-calibrated.ts';
import type { QuantizedModel } from './quantize-model.ts';
import type { LayerSensitivity } from './sensitivity.ts';

/**
 * The order in which layers return to float: the most harmful first. Where a layer's input is what
 * harms, the layers that make it follow at once, for a tensor stays quantized as long as any layer at
 * either of its ends runs in integers.
 */
export async function returnOrder(
  quantized: QuantizedModel,
  sensitivities: readonly LayerSensitivity[],
): Promise<string[]> {
  const { readModel, table } = quantized.source;
  const { producers } = indexGraph(graphOf(prepareCalibrated(await readModel(), table)));
  const layers = new Map(quantized.plan.layers.map((layer) => [layer.outputTensor, layer]));
  const makersOf = (tensor: string): string[] => {
    const makers: string[] = [];
    const seen = new Set<string>();
    const waiting = [tensor];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      const layer = layers.get(next);
      if (layer === undefined) waiting.push(...(producers.get(next)?.input ?? []));
      else makers.push(layer.name);
    }
    return makers;
  };

  const inputs = new Map(quantized.plan.layers.map((layer) => [layer.name, layer.inputTensor]));
  const order = new Set<string>();
  for (const { layer, inputSqnrDb, weightSqnrDb } of sensitivities) {
    order.add(layer);
    if ((inputSqnrDb ?? Infinity) >= (weightSqnrDb ?? Infinity)) continue;
    for (const maker of makersOf(inputs.get(layer) ?? '')) order.add(maker);
  }
  return [...order];
}
