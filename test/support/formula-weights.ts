import type { StoredTensor } from '../../src/models/safetensors.ts';
import { convolutionSizes } from '../../src/models/torch-layout.ts';
import { parameterSpecs, type Network, type NetworkOptions } from '../../src/models/network.ts';

/** torchvision's defaults with 7 classes; tests change what they are about. */
export const NETWORK_OPTIONS: NetworkOptions = {
  architecture: 'mobilenet-v2',
  variant: 'torchvision',
  widthMultiplier: 1,
  padding: 'torch',
  batchNorm: 'standard',
  dropout: 0,
  classCount: 7,
  imageSize: 64,
};

/**
 * A state_dict that Python can make as well: tensor k (in torchvision's order, counters left out) holds
 * sin(0.7 i + k), scaled: weights by sqrt(2 / fan_in); running_var 1 + s / 2; running_mean and biases
 * s / 10; gamma `gammaScale` (1 + s / 5). In PyTorch's layouts.
 */
export function formulaStateDict(network: Network, gammaScale = 1): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  parameterSpecs(network).forEach((spec, k) => {
    const shape = torchShape(spec.shape, spec.layer.kind === 'convolution' && spec.layer.depthwise);
    const size = shape.reduce((product, n) => product * n, 1);
    const scaleWeight = Math.sqrt(2 / (size / (shape[0] ?? 1)));
    const data = Float32Array.from({ length: size }, (_, i) => {
      const s = Math.sin(0.7 * i + k);
      switch (spec.role) {
        case 'weight':
          return s * scaleWeight;
        case 'variance':
          return 1 + 0.5 * s;
        case 'gamma':
          return gammaScale * (1 + 0.2 * s);
        default:
          return 0.1 * s;
      }
    });
    tensors.set(spec.name, { shape, data });
  });
  return tensors;
}

function torchShape(shape: readonly number[], depthwise: boolean): number[] {
  if (shape.length === 1) return [...shape];
  if (shape.length === 2) return [shape[1] ?? 1, shape[0] ?? 1];
  const [height, width, inputs, outputs] = convolutionSizes(shape);
  return depthwise ? [inputs, 1, height, width] : [outputs, inputs, height, width];
}

/** sin(0.3 i) as [1, 3, size, size]. */
export function formulaImage(size: number): Float32Array {
  return Float32Array.from({ length: 3 * size * size }, (_, i) => Math.sin(0.3 * i));
}
