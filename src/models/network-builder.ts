import { DataError, InternalError } from '../diagnostics/errors.ts';
import {
  INPUT_NAME,
  type Activation,
  type FeatureShape,
  type Layer,
  type Network,
  type NetworkOptions,
  type Padding,
} from './network.ts';

export interface ConvolutionOptions {
  readonly weightName: string;
  readonly batchNormName: string;
  readonly outputChannels: number;
  readonly kernelSize: number;
  readonly stride?: number;
  /** Zeros on each side under the `torch` rule; default (k - 1) / 2. */
  readonly sidePadding?: number;
  readonly depthwise?: boolean;
  /** AlexNet has no batch norm at all, whatever the options say. */
  readonly neverBatchNorm?: boolean;
  readonly activation: Activation;
  readonly from?: string;
}

/** Collects layers and works out the shapes between them; each method returns the new layer's name. */
export interface NetworkBuilder {
  convolution(options: ConvolutionOptions): string;
  maxPool(kernelSize: number, stride: number, sidePadding?: number): string;
  globalAveragePool(): string;
  flatten(): string;
  dropout(rate: number): string;
  dense(weightName: string, outputCount: number, activation: Activation): string;
  add(first: string, second: string, activation: Activation): string;
  /** Name and shape of the newest layer's output. */
  readonly last: string;
  shapeOf(name: string): FeatureShape;
  build(): Network;
}

export function createNetworkBuilder(options: NetworkOptions): NetworkBuilder {
  const layers: Layer[] = [];
  const shapes = new Map<string, FeatureShape>([
    [INPUT_NAME, { height: options.imageSize, width: options.imageSize, channels: 3 }],
  ]);
  let last: string = INPUT_NAME;

  const shapeOf = (name: string): FeatureShape => {
    const shape = shapes.get(name);
    if (shape === undefined) throw new InternalError(`network has no layer ${name}`);
    return shape;
  };
  const push = (layer: Layer): string => {
    layers.push(layer);
    shapes.set(layer.name, layer.outputShape);
    last = layer.name;
    return last;
  };
  const flat = (channels: number): FeatureShape => ({ height: 1, width: 1, channels });
  const simple = (kind: 'global-average-pool' | 'flatten', channels: number): string =>
    push({
      kind,
      name: kind,
      input: last,
      inputShape: shapeOf(last),
      outputShape: flat(channels),
    });

  return {
    convolution({
      weightName,
      batchNormName,
      outputChannels,
      kernelSize,
      stride = 1,
      sidePadding = (kernelSize - 1) / 2,
      depthwise = false,
      neverBatchNorm = false,
      activation,
      from = last,
    }) {
      const inputShape = shapeOf(from);
      const padding = paddingFor(options, inputShape, kernelSize, stride, sidePadding);
      return push({
        kind: 'convolution',
        name: weightName,
        input: from,
        inputShape,
        outputShape: {
          ...windowOutput(options, inputShape, kernelSize, stride, padding),
          channels: outputChannels,
        },
        kernelSize,
        stride,
        padding,
        depthwise,
        weightName,
        batchNormName: neverBatchNorm || options.batchNorm === 'none' ? null : batchNormName,
        activation,
      });
    },
    maxPool(kernelSize, stride, sidePadding = 0) {
      const inputShape = shapeOf(last);
      const padding = paddingFor(options, inputShape, kernelSize, stride, sidePadding);
      return push({
        kind: 'max-pool',
        name: `max-pool-${layers.length}`,
        input: last,
        inputShape,
        outputShape: {
          ...windowOutput(options, inputShape, kernelSize, stride, padding),
          channels: inputShape.channels,
        },
        kernelSize,
        stride,
        padding,
      });
    },
    globalAveragePool: () => simple('global-average-pool', shapeOf(last).channels),
    flatten() {
      const { height, width, channels } = shapeOf(last);
      return simple('flatten', height * width * channels);
    },
    dropout(rate) {
      if (rate === 0) return last;
      const shape = shapeOf(last);
      return push({
        kind: 'dropout',
        name: `dropout-${layers.length}`,
        input: last,
        inputShape: shape,
        outputShape: shape,
        rate,
      });
    },
    dense(weightName, outputCount, activation) {
      return push({
        kind: 'dense',
        name: weightName,
        input: last,
        inputShape: shapeOf(last),
        outputShape: flat(outputCount),
        weightName,
        activation,
      });
    },
    add(first, second, activation) {
      return push({
        kind: 'add',
        name: `add-${layers.length}`,
        input: first,
        secondInput: second,
        inputShape: shapeOf(first),
        outputShape: shapeOf(first),
        activation,
      });
    },
    get last() {
      return last;
    },
    shapeOf,
    build: () => ({ options, layers }),
  };
}

function paddingFor(
  { padding }: NetworkOptions,
  shape: FeatureShape,
  kernelSize: number,
  stride: number,
  sidePadding: number,
): Padding {
  // An unpadded window stays unpadded under both rules: AlexNet's first convolution and its pools.
  if (padding === 'torch' || sidePadding === 0) {
    return { top: sidePadding, bottom: sidePadding, left: sidePadding, right: sidePadding };
  }
  const [top, bottom] = samePadding(shape.height, kernelSize, stride);
  const [left, right] = samePadding(shape.width, kernelSize, stride);
  return { top, bottom, left, right };
}

/** TensorFlow's SAME: ceil(size / stride) outputs, the odd zero at the end (tf.nn, "Notes on padding"). */
function samePadding(size: number, kernelSize: number, stride: number): [number, number] {
  const total = Math.max((Math.ceil(size / stride) - 1) * stride + kernelSize - size, 0);
  const before = Math.floor(total / 2);
  return [before, total - before];
}

function windowOutput(
  options: NetworkOptions,
  shape: FeatureShape,
  kernelSize: number,
  stride: number,
  padding: Padding,
): { height: number; width: number } {
  const height =
    Math.floor((shape.height + padding.top + padding.bottom - kernelSize) / stride) + 1;
  const width = Math.floor((shape.width + padding.left + padding.right - kernelSize) / stride) + 1;
  if (height < 1 || width < 1) {
    throw new DataError({
      code: 'models/image-too-small',
      message: `${options.architecture} cannot take images of ${options.imageSize} px: nothing is left of them inside the network`,
      hint: 'make the images larger (parameter "sizePx" of the augment stage); the published size is 224 px',
    });
  }
  return { height, width };
}
