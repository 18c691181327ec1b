import { DataError } from '../diagnostics/errors.ts';
import { headOf, type Network } from '../models/network.ts';
import type { Recipe } from './recipe.ts';

/**
 * Names of the layers that do not learn in an epoch (from 1): the first `frozenLayerCount` convolutions and
 * dense layers, and in the first `headEpochs` epochs all but the head.
 * @throws DataError `training/all-frozen` when no layer would ever learn.
 */
export function frozenLayers(
  network: Network,
  { frozenLayerCount, headEpochs }: Pick<Recipe, 'frozenLayerCount' | 'headEpochs'>,
  epoch: number,
): ReadonlySet<string> {
  const layers = network.layers.filter(({ kind }) => kind === 'convolution' || kind === 'dense');
  if (frozenLayerCount >= layers.length) {
    throw new DataError({
      code: 'training/all-frozen',
      message: `"frozenLayerCount" is ${frozenLayerCount}, and the network has ${layers.length} layers with weights: nothing would learn`,
      hint: `freeze at most ${layers.length - 1}, which leaves the last dense layer`,
    });
  }
  const head = headOf(network);
  const frozen =
    epoch <= headEpochs
      ? layers.filter((layer) => layer !== head)
      : layers.slice(0, frozenLayerCount);
  return new Set(frozen.map(({ name }) => name));
}
