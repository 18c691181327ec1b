import { stat } from 'node:fs/promises';
import { headFit, withFittingHead, type HeadFit } from './head-for-classes.ts';
import { loadWeights } from './load-weights.ts';
import type { Network } from './network.ts';
import { readWeightsFolder, weightsFromFolder } from './weights-folder.ts';
import type { WeightsTopology } from './weights-topology.ts';
import { randomWeights, type Initialization } from './weights.ts';

export interface InitialWeights {
  readonly weights: Map<string, Float32Array>;
  /** Whose layouts and conventions the weights were made for. */
  readonly origin: 'random' | 'training' | 'torchvision' | 'keras';
  /** What they were trained as and on; absent where the source does not tell. */
  readonly trained?: WeightsTopology;
  /** What became of the head because of the classes that it was trained on. */
  readonly headFit: HeadFit;
  /** For people: `random weights`, `torchvision weights`. */
  readonly description: string;
  /** Parameters drawn anew: their shapes differ from the source's, or the head's classes do. */
  readonly replaced: readonly string[];
  /** Batch norm must be rebuilt before training (see `LoadedWeights`). */
  readonly foldedBatchNorm: boolean;
}

/**
 * From a safetensors or PyTorch file, a folder of `weights` of a train stage, or at random when there is
 * no path. `classes` are those of the network's outputs in order.
 */
export async function loadInitialWeights(
  network: Network,
  path: string | undefined,
  options: {
    readonly classes: readonly string[];
    readonly seed: number;
    readonly initialization: Initialization;
  },
): Promise<InitialWeights> {
  const { classes, seed, initialization } = options;
  if (path === undefined) {
    return {
      weights: randomWeights(network, seed, initialization),
      origin: 'random',
      headFit: { kind: 'by-shape' },
      description: 'random weights',
      replaced: [],
      foldedBatchNorm: false,
    };
  }
  if ((await stat(path)).isDirectory()) {
    const stored = await readWeightsFolder(path);
    const trained = stored.topology;
    const fit = headFit(trained.classes, classes);
    return {
      ...withFittingHead(network, weightsFromFolder(network, stored, seed), fit, seed),
      origin: 'training',
      trained,
      headFit: fit,
      description: 'the weights of an earlier training',
      foldedBatchNorm: false,
    };
  }
  const { topology, ...loaded } = await loadWeights(network, path, seed);
  const fit: HeadFit =
    topology === null ? { kind: 'by-shape' } : headFit(topology.classes, classes);
  const names = loaded.origin === 'keras' ? 'Keras' : 'torchvision';
  return {
    ...loaded,
    ...withFittingHead(network, loaded, fit, seed),
    ...(topology === null ? {} : { trained: topology }),
    headFit: fit,
    description: `pretrained weights (${names} names)`,
  };
}
