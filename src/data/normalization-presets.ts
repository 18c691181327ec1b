import type { Normalization } from './image-shards.ts';

/** Normalizations by name, of pixel values scaled to [0, 1]. */
export const NORMALIZATION_PRESETS = {
  /** Of the seven-grade set the paper trained on (see its scripts' Normalize). */
  paper: { mean: [0.4346, 0.2213, 0.0783], std: [0.2439, 0.1311, 0.0703] },
  /** Of ImageNet, as torchvision's weights expect. */
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  /** (pixel - 127.5) / 127.5, as Keras' MobileNet weights expect. */
  tf: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  /** Pixel / 255. */
  unit: { mean: [0, 0, 0], std: [1, 1, 1] },
} as const satisfies Record<string, Normalization>;

export type NormalizationPreset = keyof typeof NORMALIZATION_PRESETS;

/** What to do about figures that `isOfUnitValues` refuses. */
export const UNIT_VALUES_HINT =
  'values are scaled to [0, 1] first: divide mean and std of values in 0 to 255 by 255';

/**
 * Whether mean and deviation can be those of values in [0, 1]. Figures of pixels in 0 to 255 make every
 * image the same to the network, almost, and nothing else would tell.
 */
export function isOfUnitValues({
  mean,
  std,
}: {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}): boolean {
  return mean.every((value) => value >= 0 && value <= 1) && std.every((value) => value <= 1);
}
