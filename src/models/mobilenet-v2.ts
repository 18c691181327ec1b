import { createNetworkBuilder, type NetworkBuilder } from './network-builder.ts';
import type { Network, NetworkOptions } from './network.ts';

/** Expansion, channels, repeats, stride (Sandler et al. 2018, table 2). */
const BLOCK_GROUPS = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

/** MobileNetV2, layer for layer torchvision's `mobilenet_v2`. */
export function buildMobilenetV2(options: NetworkOptions): Network {
  const { widthMultiplier } = options;
  const builder = createNetworkBuilder(options);
  builder.convolution({
    weightName: 'features.0.0',
    batchNormName: 'features.0.1',
    outputChannels: divisibleBy8(32 * widthMultiplier),
    kernelSize: 3,
    stride: 2,
    activation: 'relu6',
  });
  let index = 1;
  for (const [expansion, channels, repeats, stride] of BLOCK_GROUPS) {
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      invertedResidual(builder, {
        prefix: `features.${index}.conv`,
        expansion,
        outputChannels: divisibleBy8(channels * widthMultiplier),
        stride: repeat === 0 ? stride : 1,
      });
      index += 1;
    }
  }
  builder.convolution({
    weightName: `features.${index}.0`,
    batchNormName: `features.${index}.1`,
    // torchvision never narrows the last convolution below 1280.
    outputChannels: divisibleBy8(1280 * Math.max(1, widthMultiplier)),
    kernelSize: 1,
    activation: 'relu6',
  });
  builder.globalAveragePool();
  builder.dropout(options.dropout);
  builder.dense('classifier.1', options.classCount, 'none');
  return builder.build();
}

interface BlockOptions {
  readonly prefix: string;
  readonly expansion: number;
  readonly outputChannels: number;
  readonly stride: number;
}

function invertedResidual(builder: NetworkBuilder, block: BlockOptions): void {
  const { prefix, expansion, outputChannels, stride } = block;
  const inputName = builder.last;
  const inputChannels = builder.shapeOf(inputName).channels;
  const hiddenChannels = inputChannels * expansion;
  let position = 0;
  if (expansion !== 1) {
    builder.convolution({
      weightName: `${prefix}.0.0`,
      batchNormName: `${prefix}.0.1`,
      outputChannels: hiddenChannels,
      kernelSize: 1,
      activation: 'relu6',
    });
    position = 1;
  }
  builder.convolution({
    weightName: `${prefix}.${position}.0`,
    batchNormName: `${prefix}.${position}.1`,
    outputChannels: hiddenChannels,
    kernelSize: 3,
    stride,
    depthwise: true,
    activation: 'relu6',
  });
  const projected = builder.convolution({
    weightName: `${prefix}.${position + 1}`,
    batchNormName: `${prefix}.${position + 2}`,
    outputChannels,
    kernelSize: 1,
    activation: 'none',
  });
  if (stride === 1 && inputChannels === outputChannels) builder.add(inputName, projected, 'none');
}

/** torchvision's `_make_divisible`: the nearest multiple of 8, at least 8, never below 90 % of `value`. */
export function divisibleBy8(value: number): number {
  const rounded = Math.max(8, Math.floor((value + 4) / 8) * 8);
  return rounded < 0.9 * value ? rounded + 8 : rounded;
}
