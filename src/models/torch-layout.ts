import {
  convolutionFromTorch,
  convolutionToTorch,
  reorderFlattenedRows,
  transpose,
} from './layouts.ts';
import { type Network, type ParameterSpec } from './network.ts';

/** A parameter as PyTorch holds it: convolution [out, in, kh, kw], depthwise [channels, 1, kh, kw], dense [out, in]. */
export interface TorchLayout {
  readonly shape: readonly number[];
  readonly fromTorch: (data: Float32Array) => Float32Array;
  readonly toTorch: (data: Float32Array) => Float32Array;
}

export function torchLayout(network: Network, { role, layer, shape }: ParameterSpec): TorchLayout {
  if (role !== 'weight') return { shape, fromTorch: (data) => data, toTorch: (data) => data };
  if (layer.kind === 'dense') return denseLayout(network, layer.input, shape);
  const sizes = convolutionSizes(shape);
  const [height, width, inputs, outputs] = sizes;
  return {
    shape: layer.depthwise ? [inputs, 1, height, width] : [outputs, inputs, height, width],
    fromTorch: (data) => convolutionFromTorch(data, sizes, layer.depthwise),
    toTorch: (data) => convolutionToTorch(data, sizes, layer.depthwise),
  };
}

/**
 * Of weights [in, out] of a dense layer whose input is the layer `inputName`; where that flattens,
 * PyTorch and ONNX flatten [C, H, W] and the network [H, W, C].
 */
export function denseLayout(
  network: Network,
  inputName: string,
  shape: readonly number[],
): TorchLayout {
  const [inputs = 1, outputs = 1] = shape;
  const flattened = flattenedInput(network, inputName);
  return {
    shape: [outputs, inputs],
    fromTorch: (data) => {
      const weightsIo = transpose(data, outputs, inputs);
      return flattened === null
        ? weightsIo
        : reorderFlattenedRows(weightsIo, flattened, 'chw-to-hwc');
    },
    toTorch: (data) => {
      const rows = flattened === null ? data : reorderFlattenedRows(data, flattened, 'hwc-to-chw');
      return transpose(rows, inputs, outputs);
    },
  };
}

/** The image-shaped input of a flatten between it and the dense layer that reads `name`; null when there is none. */
function flattenedInput(
  network: Network,
  name: string,
): { height: number; width: number; channels: number } | null {
  const layer = network.layers.find((candidate) => candidate.name === name);
  if (layer?.kind === 'dropout') return flattenedInput(network, layer.input);
  return layer?.kind === 'flatten' ? layer.inputShape : null;
}

export function convolutionSizes(
  shape: readonly number[],
): readonly [number, number, number, number] {
  const [height = 1, width = 1, inputs = 1, outputs = 1] = shape;
  return [height, width, inputs, outputs];
}
