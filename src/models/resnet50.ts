import { createNetworkBuilder, type NetworkBuilder } from './network-builder.ts';
import type { Network, NetworkOptions } from './network.ts';

/** Bottleneck width, blocks and first stride of the four stages (He et al. 2015, table 1). */
const STAGES = [
  [64, 3, 1],
  [128, 4, 2],
  [256, 6, 2],
  [512, 3, 2],
] as const;
const EXPANSION = 4;

/** ResNet-50, layer for layer torchvision's `resnet50`: the stride sits in the 3x3 convolution ("v1.5"). */
export function buildResnet50(options: NetworkOptions): Network {
  const builder = createNetworkBuilder(options);
  builder.convolution({
    weightName: 'conv1',
    batchNormName: 'bn1',
    outputChannels: 64,
    kernelSize: 7,
    stride: 2,
    activation: 'relu',
  });
  builder.maxPool(3, 2, 1);
  STAGES.forEach(([width, blockCount, firstStride], stage) => {
    for (let block = 0; block < blockCount; block += 1) {
      bottleneck(builder, `layer${stage + 1}.${block}`, width, block === 0 ? firstStride : 1);
    }
  });
  builder.globalAveragePool();
  builder.dropout(options.dropout);
  builder.dense('fc', options.classCount, 'none');
  return builder.build();
}

function bottleneck(builder: NetworkBuilder, prefix: string, width: number, stride: number): void {
  const inputName = builder.last;
  const outputChannels = width * EXPANSION;
  const convolution = (
    index: number,
    channels: number,
    kernelSize: number,
    convolutionStride: number,
  ): string =>
    builder.convolution({
      weightName: `${prefix}.conv${index}`,
      batchNormName: `${prefix}.bn${index}`,
      outputChannels: channels,
      kernelSize,
      stride: convolutionStride,
      activation: index === 3 ? 'none' : 'relu',
    });
  const needsProjection = stride !== 1 || builder.shapeOf(inputName).channels !== outputChannels;
  convolution(1, width, 1, 1);
  convolution(2, width, 3, stride);
  const main = convolution(3, outputChannels, 1, 1);
  const shortcut = needsProjection
    ? builder.convolution({
        weightName: `${prefix}.downsample.0`,
        batchNormName: `${prefix}.downsample.1`,
        outputChannels,
        kernelSize: 1,
        stride,
        activation: 'none',
        from: inputName,
      })
    : inputName;
  builder.add(main, shortcut, 'relu');
}
