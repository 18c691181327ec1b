import type { Normalization } from '../data/image-shards.ts';
import { isOfUnitValues, UNIT_VALUES_HINT } from '../data/normalization-presets.ts';
import { UsageError } from '../diagnostics/errors.ts';
import type { OnnxModel } from '../onnx/model.ts';
import { recordedList } from '../onnx/recorded-list.ts';

/** How a model wants its pixels, of values in [0, 1]: x = (pixel / 255 - mean) / std. */
export const PRESETS = {
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  tf: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  unit: { mean: [0, 0, 0], std: [1, 1, 1] },
} as const satisfies Record<string, { mean: readonly number[]; std: readonly number[] }>;
export type Preset = keyof typeof PRESETS;
export const PRESET_NAMES = ['imagenet', 'tf', 'unit'] as const satisfies readonly Preset[];

export interface NormalizationChoice {
  readonly preset?: Preset;
  /** With `std`, instead of a preset. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/**
 * The normalization that was asked for, or the one a model exported by drq records.
 * @throws UsageError `quantize/normalization`
 */
export function normalizationOf(options: NormalizationChoice, model: OnnxModel): Normalization {
  const { preset, mean, std } = options;
  if (mean !== undefined || std !== undefined) {
    if (preset !== undefined) throw badNormalization('a preset and a mean or deviation');
    return ofUnitValues({ mean: triple(mean, 'mean'), std: positive(triple(std, 'std')) });
  }
  if (preset !== undefined) {
    return { mean: [...PRESETS[preset].mean], std: [...PRESETS[preset].std] };
  }
  const recorded = recordedNormalization(model);
  if (recorded === null) throw badNormalization('neither, and the model does not record its own');
  return ofUnitValues(recorded);
}

/** What a model exported by drq was trained with; null where the file does not tell. */
export function recordedNormalization(model: OnnxModel): Normalization | null {
  const [mean, std] = ['drq.mean', 'drq.std'].map((key) => recordedList(model, key)?.map(Number));
  if (mean === undefined || std === undefined) return null;
  return { mean: triple(mean, 'mean'), std: positive(triple(std, 'std')) };
}

function triple(values: readonly number[] | undefined, name: string): [number, number, number] {
  const [r, g, b] = values ?? [];
  if (values?.length === 3 && values.every((value) => Number.isFinite(value))) return [r!, g!, b!]; // three values
  throw badNormalization(`${name} ${values === undefined ? 'missing' : values.join(',')}`);
}

function positive(std: [number, number, number]): [number, number, number] {
  if (std.every((value) => value > 0)) return std;
  throw badNormalization(`std ${std.join(',')}`);
}

function ofUnitValues(normalization: Normalization): Normalization {
  if (isOfUnitValues(normalization)) return normalization;
  const { mean, std } = normalization;
  throw new UsageError({
    code: 'quantize/normalization',
    message: `mean and std are those of values in [0, 1], so none of them is negative or above 1; received mean ${mean.join(',')} and std ${std.join(',')}`,
    hint: UNIT_VALUES_HINT,
  });
}

function badNormalization(received: string): UsageError {
  return new UsageError({
    code: 'quantize/normalization',
    message: `how the model wants its pixels must be given by a preset (${Object.keys(PRESETS).join(', ')}) or by mean and std of three numbers each; received ${received}`,
    hint: 'use the preprocessing the model was trained with, for example the preset imagenet',
  });
}
