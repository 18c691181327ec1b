import { indexGraph } from '../onnx/graph-edit.ts';
import { graphOf } from '../onnx/model.ts';
import { leftInput } from './left-input.ts';
import { prepareCalibrated } from './prepare-calibrated.ts';
import type { QuantizedModel } from './quantize-model.ts';
import type { LayerSensitivity } from './sensitivity.ts';

/** Half the noise is 3 dB: what brings less is not worth other layers. */
const HARMING_FRACTION = 0.5;

/**
 * The order in which layers return to float: the most harmful first. Where most of the harm would be left
 * with the layer in float, since its input is still rounded, the layers that make that input return
 * together with it, if it then is float: others may read it in integers. `sensitivities` are the most
 * harmful first, with their `leftFraction`.
 */
export async function returnOrder(
  quantized: QuantizedModel,
  sensitivities: readonly LayerSensitivity[],
): Promise<string[][]> {
  const { readModel, table, options } = quantized.source;
  const graph = graphOf(prepareCalibrated(await readModel(), table));
  const { producers } = indexGraph(graph);
  const { layers } = quantized.plan;
  const byOutput = new Map(layers.map((layer) => [layer.outputTensor, layer.name]));
  const outputs = new Map(layers.map((layer) => [layer.name, layer.outputTensor]));
  const makersOf = (tensor: string): string[] => {
    const makers: string[] = [];
    const seen = new Set<string>();
    const waiting = [tensor];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      const maker = byOutput.get(next);
      if (maker === undefined) waiting.push(...(producers.get(next)?.input ?? []));
      else makers.push(maker);
    }
    return makers;
  };

  const returned = new Set<string>();
  const groupOf = ({ layer, leftFraction = 0 }: LayerSensitivity): string[] => {
    const node = producers.get(outputs.get(layer) ?? '');
    if (node === undefined || leftFraction < HARMING_FRACTION) return [layer];
    const group = [layer, ...makersOf(node.input[0] ?? '')];
    const excluded = new Set([...(options.excluded ?? []), ...returned, ...group]);
    return leftInput(graph, node, excluded).tensors.length === 0 ? group : [layer];
  };
  const order: string[][] = [];
  for (const sensitivity of sensitivities) {
    const group = groupOf(sensitivity).filter((layer) => !returned.has(layer));
    for (const layer of group) returned.add(layer);
    if (group.length > 0) order.push(group);
  }
  return order;
}
