import { stat } from 'node:fs/promises';
import { loadWeights } from './load-weights.ts';
import type { Network, NetworkOptions } from './network.ts';
import { readWeightsFolder, weightsFromFolder } from './weights-folder.ts';
import { randomWeights, type Initialization } from './weights.ts';

export interface InitialWeights {
  readonly weights: Map<string, Float32Array>;
  /** Whose layouts and conventions the weights were made for. */
  readonly origin: 'random' | 'training' | 'torchvision' | 'keras';
  /** Of the convolutions that they were trained in; absent where the source does not tell. */
  readonly padding?: NetworkOptions['padding'];
  /** For people: `random weights`, `torchvision weights`. */
  readonly description: string;
  /** Parameters drawn anew since their shapes differ from the source's. */
  readonly replaced: readonly string[];
  /** Batch norm must be rebuilt before training (see `LoadedWeights`). */
  readonly foldedBatchNorm: boolean;
}

/**
 * From a safetensors or PyTorch file, a folder of `weights` of a train stage, or at random when there is
 * no path.
 */
export async function loadInitialWeights(
  network: Network,
  path: string | undefined,
  seed: number,
  initialization: Initialization,
): Promise<InitialWeights> {
  if (path === undefined) {
    return {
      weights: randomWeights(network, seed, initialization),
      origin: 'random',
      description: 'random weights',
      replaced: [],
      foldedBatchNorm: false,
    };
  }
  if ((await stat(path)).isDirectory()) {
    const stored = await readWeightsFolder(path);
    const { padding } = stored.topology.network;
    return {
      ...weightsFromFolder(network, stored, seed),
      origin: 'training',
      padding,
      description: 'the weights of an earlier training',
      foldedBatchNorm: false,
    };
  }
  const loaded = await loadWeights(network, path, seed);
  const names = loaded.origin === 'keras' ? 'Keras' : 'torchvision';
  return { ...loaded, description: `pretrained weights (${names} names)` };
}
