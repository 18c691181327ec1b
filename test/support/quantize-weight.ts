import {
  nearestWeight,
  weightScales,
  type QuantizedWeight,
  type WeightInput,
  type WeightScheme,
} from '../../src/quantization/weights.ts';

/** Scales and the nearest codes, as a model is quantized without corrections. */
export function quantizeWeight(input: WeightInput, scheme: WeightScheme): QuantizedWeight {
  return nearestWeight(input, weightScales(input, scheme), scheme);
}
