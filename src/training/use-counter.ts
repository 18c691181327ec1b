import type { Tensor } from '@tensorflow/tfjs-node';
import { INPUT_NAME, type Layer, type Network } from '../models/network.ts';
import { inputNames, valueOf } from './layer-runtime.ts';

/** Values of a training pass; each is freed when the last tape that holds it has let go. */
export interface UseCounter {
  value(name: string): Tensor;
  set(name: string, tensor: Tensor): void;
  /** Whether anything before this value learns. */
  wantsGradient(name: string): boolean;
  /** One holder fewer. */
  release(name: string): void;
}

/**
 * Counts who still needs each layer's output: every layer that takes it in the forward pass, and those
 * of the `learning` whose gradient reads it in the backward pass. The image is the caller's and never freed.
 */
export function createUseCounter(
  network: Network,
  x: Tensor,
  learning: ReadonlySet<string>,
): UseCounter {
  const goesBack = ({ name }: Layer): boolean => learning.has(name);
  const values = new Map<string, Tensor>([[INPUT_NAME, x]]);
  const holders = new Map<string, number>([[INPUT_NAME, Infinity]]);
  for (const layer of network.layers) {
    holders.set(layer.name, goesBack(layer) && gradientReadsOutput(layer) ? 1 : 0);
    for (const name of inputNames(layer)) {
      holders.set(
        name,
        (holders.get(name) ?? 0) + (goesBack(layer) && gradientReadsInput(layer) ? 2 : 1),
      );
    }
  }
  return {
    value: (name) => valueOf(values, name),
    set: (name, tensor) => {
      values.set(name, tensor);
    },
    wantsGradient: (name) => learning.has(name),
    release(name) {
      const left = (holders.get(name) ?? 0) - 1;
      holders.set(name, left);
      if (left > 0) return;
      values.get(name)?.dispose();
      values.delete(name);
    },
  };
}

export function gradientReadsInput(layer: Layer): boolean {
  return layer.kind === 'convolution' || layer.kind === 'dense';
}

export function gradientReadsOutput(layer: Layer): boolean {
  return 'activation' in layer && layer.activation !== 'none';
}
