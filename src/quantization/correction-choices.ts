import type { EqualizationChoice } from './corrections/choose-equalization.ts';
import type { BiasCorrection, Rounding } from './quantize-calibrated.ts';
import type { WeightRange } from './weights.ts';

/** What is done against the loss of accuracy; the defaults measure best over the networks tried. */
export interface CorrectionChoices {
  /** Of channels between two layers; `auto` by default: of activations, from 64 images on. */
  readonly equalization?: EqualizationChoice;
  /** Of weights; `adaptive` by default. */
  readonly rounding?: Rounding;
  /** `local` by default. */
  readonly biasCorrection?: BiasCorrection;
  /** Of each channel: its largest weight (`max`, the default) or the least squared error (`mse`). */
  readonly weightRange?: WeightRange;
}

/** The choices for `quantizeCalibrated`, with the defaults filled in. */
export function withDefaults(choices: CorrectionChoices): Required<CorrectionChoices> {
  const { equalization, rounding, biasCorrection, weightRange } = choices;
  return {
    equalization: equalization ?? 'auto',
    rounding: rounding ?? 'adaptive',
    biasCorrection: biasCorrection ?? 'local',
    weightRange: weightRange ?? 'max',
  };
}
