import type { Tensor } from '@tensorflow/tfjs-node';
import { InternalError } from '../diagnostics/errors.ts';
import type { Layer, Network } from '../models/network.ts';
import { forwardLayer, type Tape } from './differentiable-layers.ts';
import { inferLayer } from './inference-pass.ts';
import { inputNames, type LayerRuntime } from './layer-runtime.ts';
import { createUseCounter, type UseCounter } from './use-counter.ts';

/** Gradients by parameter name, owned by the caller. */
export type Gradients = ReadonlyMap<string, Tensor>;

export interface PassOptions {
  readonly dropoutSeed: number;
  /** Factor on the loss of each image; the loss is their sum. Left out: 1 / N, so that it is the mean. */
  readonly imageWeights?: Float32Array;
  /** The class of each image, to count those that come first. Left out: the most probable of `targets`. */
  readonly labels?: Int32Array;
  /**
   * Names of layers that do not learn, all before those that do: they run as in inference, with the running
   * statistics of their batch norm, and nothing goes back through them. Dropout between them stays active.
   */
  readonly frozenLayers?: ReadonlySet<string>;
}

export interface TrainingPass {
  /** Mean loss of the batch, or the sum weighted by `imageWeights`. */
  readonly loss: number;
  readonly correctCount: number;
  readonly gradients: Gradients;
}

/** Forward and backward through the whole network; moves the batch norms' running statistics. */
export function trainingPass(
  runtime: LayerRuntime,
  x: Tensor,
  targets: Tensor,
  { dropoutSeed, imageWeights, labels, frozenLayers = new Set() }: PassOptions,
): TrainingPass {
  const { tf, kernels, network } = runtime;
  const gradients = new Map<string, Tensor>();
  const collect = (name: string, tensor: Tensor): void => {
    gradients.set(name, tf.keep(tensor));
  };
  let loss = NaN;
  let correctCount = 0;
  tf.tidy(() => {
    const learning = learningLayers(network, frozenLayers);
    const uses = createUseCounter(network, kernels.toCompute(x), learning);
    const tapes: Tape[] = [];
    for (const [index, layer] of network.layers.entries()) {
      const seed: [number, number] = [dropoutSeed, index];
      if (learning.has(layer.name)) {
        tapes.push(forwardLayer(runtime, layer, uses, seed, collect));
      } else {
        runFrozen(runtime, layer, uses, seed);
      }
      for (const name of inputNames(layer)) uses.release(name);
    }
    const logits = uses.value(network.layers.at(-1)!.name); // the dense head
    const [losses, dlogits] = kernels.softmaxCrossEntropy(logits, targets);
    const [imageCount] = x.shape;
    const weights = imageWeights ?? new Float32Array(imageCount).fill(1 / imageCount);
    loss = losses
      .dataSync<'float32'>()
      .reduce((sum, value, n) => sum + value * (weights[n] ?? NaN), 0);
    const classes = labels === undefined ? targets.argMax(1) : tf.tensor1d(labels, 'int32');
    correctCount = logits.argMax(1).equal(classes).sum().dataSync()[0] ?? 0;
    const dloss = kernels.multiply(dlogits, tf.tensor2d(weights, [imageCount, 1]));
    dlogits.dispose();
    backward(runtime, tapes, dloss);
  });
  return { loss, correctCount, gradients };
}

/** Layers that learn or have one that learns before them: those a gradient goes through. */
function learningLayers(network: Network, frozen: ReadonlySet<string>): Set<string> {
  const learning = new Set<string>();
  for (const layer of network.layers) {
    const isBehind = inputNames(layer).some((name) => learning.has(name));
    const hasWeights = layer.kind === 'convolution' || layer.kind === 'dense';
    if (isBehind && frozen.has(layer.name)) {
      throw new InternalError(`${layer.name} is frozen behind a layer that learns`);
    }
    if (isBehind || (hasWeights && !frozen.has(layer.name))) learning.add(layer.name);
  }
  return learning;
}

function runFrozen(
  runtime: LayerRuntime,
  layer: Layer,
  uses: UseCounter,
  seed: readonly [number, number],
): void {
  if (layer.kind === 'dropout') {
    forwardLayer(runtime, layer, uses, seed, () => undefined); // its step back is not wanted
    return;
  }
  uses.set(
    layer.name,
    inferLayer(runtime, layer, (name) => uses.value(name)),
  );
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
