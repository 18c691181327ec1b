import { OnnxError } from '../../diagnostics/errors.ts';
import type { OnnxGraph } from '../../onnx/model.ts';
import { channelFlow } from './channel-flow.ts';
import type { ChannelChange } from './equalization.ts';

/**
 * The scale of each channel of every tensor that `changes` of layers' outputs lead to; a tensor that is
 * not scaled is absent. @throws OnnxError `quantization/other-model` when a change is of no layer's
 * output, or reaches something that cannot follow it
 */
export function propagateScales(
  graph: OnnxGraph,
  changes: ReadonlyMap<string, ChannelChange>,
): ReadonlyMap<string, readonly number[]> {
  const scales = new Map<string, readonly number[]>();
  const counts = new Map<string, number>();
  const applied = new Set<string>();
  const refuse = (tensors: readonly string[]): void => {
    for (const tensor of tensors) if (scales.has(tensor)) throw otherModel(tensor);
  };
  for (const step of channelFlow(graph)) {
    const { input: inputs, output } = step.node;
    const [input = ''] = inputs;
    const [name = ''] = output;
    switch (step.kind) {
      case 'layer': {
        const read = scales.get(input);
        if (read !== undefined && read.length !== step.reading?.channelCount)
          throw otherModel(input);
        counts.set(name, step.channelCount);
        const change = changes.get(name);
        if (change === undefined) break;
        if (change.scales.length !== step.channelCount) throw otherModel(name);
        applied.add(name);
        if (change.scales.some((scale) => scale !== 1)) scales.set(name, change.scales);
        break;
      }
      case 'same': {
        const [first, ...others] = step.inputs.map((tensor) => scales.get(tensor));
        const areSame = others.every((other) =>
          other === undefined || first === undefined
            ? other === first
            : other.every((scale, c) => scale === first[c]),
        );
        if (!areSame) refuse(step.inputs);
        if (first !== undefined) scales.set(name, first);
        const count = counts.get(input);
        if (count !== undefined) counts.set(name, count);
        break;
      }
      case 'gated': {
        const [scaled, ...others] = step.inputs.filter((tensor) => counts.has(tensor));
        if (scaled === undefined || others.length > 0) refuse(step.inputs);
        else {
          const read = scales.get(scaled);
          if (read !== undefined) scales.set(name, read);
          counts.set(name, counts.get(scaled)!); // it is there
        }
        break;
      }
      case 'gate':
        break;
      case 'joined': {
        const known = step.inputs.map((tensor) => counts.get(tensor));
        if (known.some((count) => count === undefined)) refuse(step.inputs);
        else
          counts.set(
            name,
            known.reduce<number>((sum, count) => sum + (count ?? 0), 0),
          );
        if (!step.inputs.some((tensor) => scales.has(tensor))) break;
        scales.set(
          name,
          step.inputs.flatMap(
            (tensor, i) => scales.get(tensor) ?? new Array<number>(known[i] ?? 0).fill(1),
          ),
        );
        break;
      }
      case 'other':
        refuse(step.inputs);
    }
  }
  refuse(graph.output.map(({ name }) => name));
  const missing = [...changes.keys()].find((tensor) => !applied.has(tensor));
  if (missing !== undefined) throw otherModel(missing);
  return scales;
}

export function otherModel(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/other-model',
    message: `the calibration table equalizes tensor "${tensor}", which is not between layers of this model`,
    hint: 'calibrate the same model that is quantized',
  });
}
