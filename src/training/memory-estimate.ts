import {
  elementCount,
  isTrained,
  parameterSpecs,
  type FeatureShape,
  type Layer,
  type Network,
} from '../models/network.ts';
import type { Precision } from './precision.ts';
import type { OptimizerOptions } from './optimizer-types.ts';
import { gradientReadsInput, gradientReadsOutput } from './use-counter.ts';

export interface MemoryPlan {
  readonly network: Network;
  /** Images that go through the network at a time. */
  readonly imageCount: number;
  readonly precision: Precision;
  readonly optimizer: OptimizerOptions['optimizer'];
  readonly hasWeightAverage: boolean;
}

const FLOAT32_BYTES = 4;
/** Node, TensorFlow, batches under way: measured on a network of a few layers. */
const BASE_BYTES = 500e6;

/**
 * What a training step holds at its peak, in bytes: weights, their gradients and the optimizer's state;
 * the activations that the backward pass reads, which the forward pass has all made by its end; and
 * while one layer's gradient is computed its own inputs and outputs in other forms.
 */
export function estimateTrainingBytes(plan: MemoryPlan): number {
  const { network, imageCount, precision } = plan;
  const valueBytes = precision === 'bfloat16' ? 2 : FLOAT32_BYTES;
  const perImage = network.layers.reduce((sum, layer) => sum + keptValues(layer, network), 0);
  const largest = Math.max(...network.layers.map((layer) => valuesAround(layer)));
  return (
    BASE_BYTES + imageCount * (perImage + WORKING_COPIES * largest) * valueBytes + stateBytes(plan)
  );
}

/** Gradients by a layer's output and input, and the kernels' copies of them in another layout. */
const WORKING_COPIES = 2;

function stateBytes({ network, optimizer, hasWeightAverage }: MemoryPlan): number {
  const trained = parameterSpecs(network)
    .filter(({ role }) => isTrained(role))
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const slots = optimizer === 'adam' || optimizer === 'adamw' ? 2 : 1;
  // Weights, gradients, the best weights so far, and what the optimizer keeps.
  return (3 + slots + (hasWeightAverage ? 1 : 0)) * trained * FLOAT32_BYTES;
}

/** Values of one image that the backward pass reads. */
function keptValues(layer: Layer, network: Network): number {
  const output = sizeOf(layer.outputShape);
  const isRead =
    gradientReadsOutput(layer) ||
    network.layers.some((next) => gradientReadsInput(next) && next.input === layer.name);
  const beforeBatchNorm = layer.kind === 'convolution' && layer.batchNormName !== null ? output : 0;
  const mask = layer.kind === 'dropout' ? output : 0;
  return (isRead ? output : 0) + beforeBatchNorm + mask;
}

function valuesAround(layer: Layer): number {
  return sizeOf(layer.inputShape) + sizeOf(layer.outputShape);
}

function sizeOf({ height, width, channels }: FeatureShape): number {
  return height * width * channels;
}

/** The most images at a time that fit into `availableBytes`, at least 2; null where not even they do. */
export function largestImageCount(plan: MemoryPlan, availableBytes: number): number | null {
  for (let count = plan.imageCount; count >= 2; count -= 1) {
    if (estimateTrainingBytes({ ...plan, imageCount: count }) <= availableBytes) return count;
  }
  return null;
}
