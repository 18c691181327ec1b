/*
 * The names of all choices, without any import: the command line lists them in its help, which must not
 * load what carries them out.
 */

/** How ranges follow from what was observed, simplest first. */
export const RANGE_METHODS = [
  'min-max',
  'mean-min-max',
  'moving-average',
  'percentile',
  'mse',
  'relative-mse',
  'l2-histogram',
  'entropy',
] as const;
export type RangeMethod = (typeof RANGE_METHODS)[number];

/** `auto` tries several range methods on held-out images. */
export const CALIBRATION_METHODS = ['auto', ...RANGE_METHODS] as const;
export type CalibrationMethod = (typeof CALIBRATION_METHODS)[number];

/** Share of values that `percentile` keeps, in percent: that of onnxruntime's PercentileCalibrater. */
export const DEFAULT_PERCENTILE = 99.999;

/** `cross-layer`: weights of both layers alike; `activations`: channels of what is between them alike. */
export const EQUALIZATIONS = ['none', 'cross-layer', 'activations'] as const;
export type Equalization = (typeof EQUALIZATIONS)[number];

/** `auto` is `resolveEqualization`'s. */
export const EQUALIZATION_CHOICES = ['auto', ...EQUALIZATIONS] as const;
export type EqualizationChoice = (typeof EQUALIZATION_CHOICES)[number];

export const ROUNDINGS = ['adaptive', 'nearest'] as const;
export type Rounding = (typeof ROUNDINGS)[number];

export const BIAS_CORRECTIONS = ['local', 'none'] as const;
export type BiasCorrection = (typeof BIAS_CORRECTIONS)[number];

/** Range of a channel's weights: the largest, or that of the least squared error. */
export const WEIGHT_RANGES = ['max', 'mse'] as const;
export type WeightRange = (typeof WEIGHT_RANGES)[number];

/** Whether each output channel of a weight tensor has a scale of its own. */
export const GRANULARITIES = ['per-channel', 'per-tensor'] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** Whether the harm of each layer is measured. */
export const SENSITIVITIES = ['none', 'layers'] as const;

/** CPUs an int8 model is for, see `codeBounds`. */
export const TARGETS = ['vnni', 'avx2', 'portable'] as const;
export type Target = (typeof TARGETS)[number];

/** What an int8 model takes: normalized values, or the pixels themselves, in the float model's layout. */
export const INPUT_TYPES = ['float32', 'uint8'] as const;
export type InputType = (typeof INPUT_TYPES)[number];

/** Codes of a float32 input: the pixels it was made of, or spread over the range it has. */
export const INPUT_ROUNDINGS = ['pixels', 'range'] as const;
export type InputRounding = (typeof INPUT_ROUNDINGS)[number];

/** What is done against the loss of accuracy; the defaults measure best over the networks tried. */
export interface CorrectionChoices {
  /** Of channels between two layers; `auto` by default: of activations, from 64 images on. */
  readonly equalization?: EqualizationChoice;
  /** Of weights; `adaptive` by default. */
  readonly rounding?: Rounding;
  /** `local` by default. */
  readonly biasCorrection?: BiasCorrection;
  /** `max` by default. */
  readonly weightRange?: WeightRange;
  /** `pixels` by default where images are photographs; nothing tells the pixels of other inputs. */
  readonly inputRounding?: InputRounding;
}

/** The choices with the defaults filled in. */
export function withDefaults(choices: CorrectionChoices): Required<CorrectionChoices> {
  const { equalization, rounding, biasCorrection, weightRange, inputRounding } = choices;
  return {
    equalization: equalization ?? 'auto',
    rounding: rounding ?? 'adaptive',
    biasCorrection: biasCorrection ?? 'local',
    weightRange: weightRange ?? 'max',
    inputRounding: inputRounding ?? 'pixels',
  };
}

/** Side of the largest square input, in pixels: beyond it a single image takes more than 3 GB as float32. */
export const LARGEST_SIZE = 16_384;
