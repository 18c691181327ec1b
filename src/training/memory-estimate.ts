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
const BASE_BYTES = 450e6;

/**
 * Of the weights at the end of a training, besides its state: as ONNX's tensors and bytes, and in
 * onnxruntime. They find no room in what training has freed where that lies in pieces (below).
 */
const EXPORT_COPIES = 3.5;
/**
 * Of the largest parameter: while it is updated, read for a checkpoint, laid out for PyTorch and ONNX, each
 * time in new memory. These numbers are fitted to whole stages with AlexNet, whose first dense layer is 56 % of
 * its weights at 224 px (2.77 GB with AdamW and averages, 2.65 with SGD) and 84 % at 384 px (7.46 GB).
 */
const LARGEST_COPIES = { inSteps: 3, atEnd: 6 };
/** Gradients by a layer's output and input, and the kernels' copies of them in another layout. */
const WORKING_COPIES = 2;

/**
 * What a training holds at its peak, in bytes: in a step, or at its end, when the weights are written in
 * several forms. glibc keeps what was freed (see the stage's environment), and the activations' memory is
 * taken again for those.
 */
export function estimateTrainingBytes(plan: MemoryPlan): number {
  const { weightBytes, largestBytes } = sizesOf(plan.network);
  // Weights, gradients, the best weights so far, what the optimizer keeps and the average.
  const copies = 3 + slotCount(plan) + (plan.hasWeightAverage ? 1 : 0);
  const inStep = activationBytes(plan) + LARGEST_COPIES.inSteps * largestBytes;
  const atEnd = EXPORT_COPIES * weightBytes + LARGEST_COPIES.atEnd * largestBytes;
  return BASE_BYTES + copies * weightBytes + Math.max(inStep, atEnd);
}

/**
 * What bare steps hold at their peak, without checkpoints, validation and export: weights, those they began
 * with, gradients and the optimizer's state; the activations.
 */
export function estimateStepBytes(plan: MemoryPlan): number {
  const { weightBytes, largestBytes } = sizesOf(plan.network);
  const copies = 3 + slotCount(plan);
  return BASE_BYTES + copies * weightBytes + activationBytes(plan) + largestBytes;
}

/**
 * The activations that the backward pass reads, which the forward pass has all made by its end; and while one
 * layer's gradient is computed its own inputs and outputs in other forms.
 */
function activationBytes({ network, imageCount, precision }: MemoryPlan): number {
  const valueBytes = precision === 'bfloat16' ? 2 : FLOAT32_BYTES;
  const perImage = network.layers.reduce((sum, layer) => sum + keptValues(layer, network), 0);
  const largest = Math.max(...network.layers.map((layer) => valuesAround(layer)));
  return imageCount * (perImage + WORKING_COPIES * largest) * valueBytes;
}

function sizesOf(network: Network): { weightBytes: number; largestBytes: number } {
  const sizes = parameterSpecs(network)
    .filter(({ role }) => isTrained(role))
    .map(({ shape }) => elementCount(shape) * FLOAT32_BYTES);
  return {
    weightBytes: sizes.reduce((sum, size) => sum + size, 0),
    largestBytes: Math.max(...sizes),
  };
}

function slotCount({ optimizer }: MemoryPlan): number {
  return optimizer === 'adam' || optimizer === 'adamw' ? 2 : 1;
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
