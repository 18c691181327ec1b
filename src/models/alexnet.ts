import { DataError } from '../diagnostics/errors.ts';
import { createNetworkBuilder } from './network-builder.ts';
import type { Network, NetworkOptions } from './network.ts';

/** Side of what reaches torchvision's classifier: its adaptive pool does nothing to 224 px images. */
const TORCHVISION_POOLED_SIZE = 6;

/**
 * AlexNet with torchvision's channels (Krizhevsky, "One weird trick", 2014). `paper`: first convolution
 * without padding and no adaptive pool, so that 224 px give 5x5x256 = 6400 features; `torchvision`: 9216.
 */
export function buildAlexnet(options: NetworkOptions): Network {
  const builder = createNetworkBuilder(options);
  const convolution = (
    index: number,
    outputChannels: number,
    kernelSize: number,
    stride: number,
    sidePadding: number,
  ): string =>
    builder.convolution({
      weightName: `features.${index}`,
      batchNormName: '',
      neverBatchNorm: true,
      outputChannels,
      kernelSize,
      stride,
      sidePadding,
      activation: 'relu',
    });
  convolution(0, 64, 11, 4, options.variant === 'paper' ? 0 : 2);
  builder.maxPool(3, 2);
  convolution(3, 192, 5, 1, 2);
  builder.maxPool(3, 2);
  convolution(6, 384, 3, 1, 1);
  convolution(8, 256, 3, 1, 1);
  convolution(10, 256, 3, 1, 1);
  const pooled = builder.shapeOf(builder.maxPool(3, 2));
  if (options.variant === 'torchvision' && pooled.height !== TORCHVISION_POOLED_SIZE) {
    throw new DataError({
      code: 'models/image-size',
      message: `alexnet, variant torchvision, takes images of 224 px, received ${options.imageSize} px`,
      hint: 'make images of 224 px in the augment stage, or use variant: paper, which takes any size from 67 px',
    });
  }
  builder.flatten();
  builder.dropout(options.dropout);
  builder.dense('classifier.1', 4096, 'relu');
  builder.dropout(options.dropout);
  builder.dense('classifier.4', 4096, 'relu');
  builder.dense('classifier.6', options.classCount, 'none');
  return builder.build();
}
