import { createNetworkBuilder, type NetworkBuilder } from './network-builder.ts';
import type { Network, NetworkOptions } from './network.ts';

type Block = (builder: NetworkBuilder, options: BlockOptions) => void;

/** Kind and count of the blocks in the four stages (He et al. 2015, table 1). */
const STAGES = {
  resnet18: { block: basicBlock, counts: [2, 2, 2, 2] },
  resnet34: { block: basicBlock, counts: [3, 4, 6, 3] },
  resnet50: { block: bottleneck, counts: [3, 4, 6, 3] },
} as const satisfies Record<string, { block: Block; counts: readonly number[] }>;
export type ResnetArchitecture = keyof typeof STAGES;

const FIRST_WIDTH = 64;
/** A bottleneck gives so many times the channels of its 3x3 convolution. */
const EXPANSION = 4;

/**
 * ResNet-18, 34 or 50, layer for layer torchvision's: the stride of a bottleneck sits in the 3x3
 * convolution ("v1.5").
 */
export function buildResnet(architecture: ResnetArchitecture, options: NetworkOptions): Network {
  const builder = createNetworkBuilder(options);
  builder.convolution({
    weightName: 'conv1',
    batchNormName: 'bn1',
    outputChannels: FIRST_WIDTH,
    kernelSize: 7,
    stride: 2,
    activation: 'relu',
  });
  builder.maxPool(3, 2, 1);
  const { block, counts } = STAGES[architecture];
  counts.forEach((count, stage) => {
    for (let index = 0; index < count; index += 1) {
      block(builder, {
        prefix: `layer${stage + 1}.${index}`,
        width: FIRST_WIDTH * 2 ** stage,
        // Every stage but the first halves the image, in its first block.
        stride: stage > 0 && index === 0 ? 2 : 1,
      });
    }
  });
  builder.globalAveragePool();
  builder.dropout(options.dropout);
  builder.dense('fc', options.classCount, 'none');
  return builder.build();
}

interface BlockOptions {
  readonly prefix: string;
  /** Channels of the 3x3 convolutions. */
  readonly width: number;
  readonly stride: number;
}

/** Two 3x3 convolutions beside a shortcut. */
function basicBlock(builder: NetworkBuilder, { prefix, width, stride }: BlockOptions): void {
  const from = builder.last;
  const common = { outputChannels: width, kernelSize: 3 };
  builder.convolution({ ...common, ...names(prefix, 1), stride, activation: 'relu' });
  const main = builder.convolution({ ...common, ...names(prefix, 2), activation: 'none' });
  builder.add(main, shortcut(builder, { prefix, from, outputChannels: width, stride }), 'relu');
}

/** A 3x3 convolution between two of 1x1, beside a shortcut. */
function bottleneck(builder: NetworkBuilder, { prefix, width, stride }: BlockOptions): void {
  const from = builder.last;
  const outputChannels = width * EXPANSION;
  const narrow = { outputChannels: width, activation: 'relu' } as const;
  builder.convolution({ ...narrow, ...names(prefix, 1), kernelSize: 1 });
  builder.convolution({ ...narrow, ...names(prefix, 2), kernelSize: 3, stride });
  const main = builder.convolution({
    ...names(prefix, 3),
    outputChannels,
    kernelSize: 1,
    activation: 'none',
  });
  builder.add(main, shortcut(builder, { prefix, from, outputChannels, stride }), 'relu');
}

function names(prefix: string, index: number): { weightName: string; batchNormName: string } {
  return { weightName: `${prefix}.conv${index}`, batchNormName: `${prefix}.bn${index}` };
}

interface ShortcutOptions {
  readonly prefix: string;
  /** The block's input. */
  readonly from: string;
  readonly outputChannels: number;
  readonly stride: number;
}

/** The block's input, projected where size or channels change. */
function shortcut(
  builder: NetworkBuilder,
  { prefix, from, outputChannels, stride }: ShortcutOptions,
): string {
  if (stride === 1 && builder.shapeOf(from).channels === outputChannels) return from;
  return builder.convolution({
    weightName: `${prefix}.downsample.0`,
    batchNormName: `${prefix}.downsample.1`,
    outputChannels,
    kernelSize: 1,
    stride,
    activation: 'none',
    from,
  });
}
