import {
  elementCount,
  isTrained,
  parameterSpecs,
  type FeatureShape,
  type Layer,
  type Network,
} from '../models/network.ts';
import { normalizesThroughInput } from './pointwise-batch-norm.ts';
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
 * Of the weights at the end of a training: as ONNX's tensors and bytes, and in onnxruntime. They come on top of
 * all before, since they find little room in the pieces that training has freed.
 */
const EXPORT_COPIES = 4.4;
/** Of onnxruntime and what it holds of the images that the export is checked on. */
const EXPORT_BYTES = 100e6;
/**
 * Of the largest parameter: while it is updated, read for a checkpoint and laid out for PyTorch. This number and
 * the one above are fitted to whole stages: AlexNet at 224 px with AdamW and averages (2.77 GB) and with SGD
 * (2.65), at 384 px (7.46), a ResNet-50 (2.65), a ResNet-18 (0.97) and a MobileNetV2 (2.43).
 */
const LARGEST_COPIES = 3;
/** Gradients by a layer's output and input, and the kernels' copies of them in another layout. */
const WORKING_COPIES = 2;

/**
 * What a training holds at its peak, in bytes: at its end, when the weights are written in several forms, since
 * glibc keeps what was freed before (see the stage's environment).
 */
export function estimateTrainingBytes(plan: MemoryPlan): number {
  const { weightBytes, largestBytes } = sizesOf(plan.network);
  // Weights, gradients, the best weights so far, what the optimizer keeps and the average.
  const copies = 3 + slotCount(plan) + (plan.hasWeightAverage ? 1 : 0);
  return (
    BASE_BYTES +
    EXPORT_BYTES +
    (copies + EXPORT_COPIES) * weightBytes +
    activationBytes(plan) +
    LARGEST_COPIES * largestBytes
  );
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
  const perImage = network.layers.reduce(
    (sum, layer) => sum + keptValues(layer, { network, precision, imageCount }),
    0,
  );
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
function keptValues(
  layer: Layer,
  { network, precision, imageCount }: Pick<MemoryPlan, 'network' | 'precision' | 'imageCount'>,
): number {
  const output = sizeOf(layer.outputShape);
  const isRead =
    gradientReadsOutput(layer) ||
    network.layers.some((next) => gradientReadsInput(next) && next.input === layer.name);
  const keepsSum =
    layer.kind === 'convolution' &&
    layer.batchNormName !== null &&
    !normalizesThroughInput(layer, precision, imageCount);
  const beforeBatchNorm = keepsSum ? output : 0;
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
