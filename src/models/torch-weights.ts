import { parameterSpecs, type Network } from './network.ts';
import { torchLayout } from './torch-layout.ts';
import type { SafetensorsEntry } from './write-safetensors.ts';
import { weightOf, type WeightLookup } from './weights.ts';

/**
 * The network's state_dict with torchvision's names and layouts: what `load_state_dict(strict=True)` of
 * torchvision's model takes, counters of batch norm included (zero, as the network does not count).
 */
export function torchStateDict(network: Network, weights: WeightLookup): SafetensorsEntry[] {
  return parameterSpecs(network).flatMap((spec): SafetensorsEntry[] => {
    const { shape, toTorch } = torchLayout(network, spec);
    const entry: SafetensorsEntry = {
      name: spec.name,
      dtype: 'F32',
      shape,
      // Laid out anew at each call: one layer at a time is held twice.
      data: () => toTorch(weightOf(weights, spec.name)),
    };
    if (spec.role !== 'variance') return [entry];
    const name = spec.name.replace(/running_var$/, 'num_batches_tracked');
    return [entry, { name, dtype: 'I64', shape: [], data: () => BigInt64Array.of(0n) }];
  });
}
