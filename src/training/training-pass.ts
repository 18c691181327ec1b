import type { Tensor } from '@tensorflow/tfjs-node';
import { InternalError } from '../diagnostics/errors.ts';
import { forwardLayer, type Tape } from './differentiable-layers.ts';
import { inputNames, type LayerRuntime } from './layer-runtime.ts';
import { createUseCounter } from './use-counter.ts';

/** Gradients by parameter name, owned by the caller. */
export type Gradients = ReadonlyMap<string, Tensor>;

export interface TrainingPass {
  /** Mean loss of the batch. */
  readonly loss: number;
  readonly correctCount: number;
  readonly gradients: Gradients;
}

/** Forward and backward through the whole network; moves the batch norms' running statistics. */
export function trainingPass(
  runtime: LayerRuntime,
  x: Tensor,
  targets: Tensor,
  dropoutSeed: number,
): TrainingPass {
  const { tf, kernels, network } = runtime;
  const gradients = new Map<string, Tensor>();
  const collect = (name: string, tensor: Tensor): void => {
    gradients.set(name, tf.keep(tensor));
  };
  let loss = NaN;
  let correctCount = 0;
  tf.tidy(() => {
    const uses = createUseCounter(network, x);
    const tapes: Tape[] = [];
    for (const [index, layer] of network.layers.entries()) {
      const seed: [number, number] = [dropoutSeed, index];
      tapes.push(forwardLayer(runtime, layer, uses, seed, collect));
      for (const name of inputNames(layer)) uses.release(name);
    }
    const logits = uses.value(network.layers.at(-1)!.name); // the dense head
    const [losses, dlogits] = kernels.softmaxCrossEntropy(logits, targets);
    loss = losses.mean().dataSync()[0] ?? NaN;
    correctCount = logits.argMax(1).equal(targets.argMax(1)).sum().dataSync()[0] ?? 0;
    const dloss = kernels.multiply(dlogits, tf.scalar(1 / x.shape[0]));
    dlogits.dispose();
    backward(runtime, tapes, dloss);
  });
  return { loss, correctCount, gradients };
}

function backward({ kernels }: LayerRuntime, tapes: readonly Tape[], dlogits: Tensor): void {
  const pending = new Map<string, Tensor>();
  pending.set(tapes.at(-1)!.layer.name, dlogits); // networks are never empty
  for (const { layer, back } of tapes.toReversed()) {
    const dy = pending.get(layer.name);
    if (dy === undefined) throw new InternalError(`nothing reads layer ${layer.name}`);
    pending.delete(layer.name);
    const inputGradients = back(dy);
    inputNames(layer).forEach((name, index) => {
      const gradient = inputGradients[index] ?? null;
      if (gradient === null) return;
      const other = pending.get(name);
      if (other === undefined) {
        pending.set(name, gradient);
        return;
      }
      pending.set(name, kernels.add(other, gradient));
      other.dispose();
      gradient.dispose();
    });
  }
}
