import type { Normalization } from '../data/image-shards.ts';
import { OnnxError } from '../diagnostics/errors.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { graphOf, type OnnxModel } from '../onnx/model.ts';
import { elementTypeOf } from '../onnx/model-signature.ts';
import { handOver } from '../onnx/reader.ts';
import type { InputRounding, InputType } from './choices.ts';
import { normalizationOf, type NormalizationChoice } from './normalization-choice.ts';
import { makePixelInput } from './pixel-head.ts';
import { takePixels } from './pixel-input.ts';
import type { QuantizeCalibratedOptions } from './quantize-calibrated.ts';
import type { QuantizedModel } from './quantize-model.ts';

type Source = Pick<QuantizeCalibratedOptions, 'readModel' | 'table' | 'settings'>;

export interface InputFormOptions extends Source {
  readonly inputType: InputType;
  readonly inputRounding: InputRounding;
  /** How the float model wants its pixels; absent where nothing is known of them. */
  readonly normalization?: Normalization;
  readonly shownName: string;
}

/** What to quantize, and what makes the result a model of the wanted input. */
export interface InputForm extends Source {
  readonly finish: (quantized: QuantizedModel) => QuantizedModel;
}

/**
 * A model that reads pixels where that is wanted and possible: for uint8 input, and for float32 where
 * pixels are known and the first convolution loses no time by it, if not on the target then on other CPUs.
 * @throws OnnxError `quantization/pixel-input` when uint8 is not possible
 */
export async function inputFormFor(options: InputFormOptions): Promise<InputForm> {
  const { readModel, table, settings, inputType, normalization, shownName } = options;
  const asItIs = { readModel, table, settings, finish: (quantized: QuantizedModel) => quantized };
  const isUint8 = inputType === 'uint8';
  const isTried =
    isUint8 || (options.inputRounding === 'pixels' && settings.firstConvolution === 'pad');
  if (normalization === undefined || !isTried) return asItIs;
  const floatModel = await readModel();
  if (takesPixels(floatModel)) return { ...asItIs, readModel: handOver(floatModel, readModel) };
  const target = isUint8 ? null : settings.target;
  const found = takePixels(floatModel, normalization, target);
  if (isUint8 && found === null) throw cannotFold(shownName);
  const isServed =
    found !== null &&
    (isUint8 || (found.isWorthIt && settings.excluded?.has(found.convolution) !== true));
  if (!isServed) return { ...asItIs, readModel: handOver(floatModel, readModel) };
  const { model, ...pixels } = found;
  return {
    readModel: handOver(
      model,
      async () => takePixels(await readModel(), normalization, target)!.model,
    ),
    table: {
      ...withoutChanges(table, pixels.replaced),
      tensors: { ...table.tensors, ...pixels.tensors },
    },
    settings: {
      ...settings,
      excluded: new Set([...(settings.excluded ?? []), pixels.node]),
    },
    finish: (quantized) => makePixelInput(quantized, pixels, inputType),
  };
}

/**
 * How photographs are normalized for the model, which is read here and let go of; that pixels can be its
 * input where they shall be is told before images are decoded and calibrated on.
 * @throws OnnxError `quantization/pixel-input`
 */
export async function photographNormalization(
  choice: NormalizationChoice,
  { readModel, shownName }: Pick<InputFormOptions, 'readModel' | 'shownName'>,
  inputType: InputType = 'float32',
): Promise<Normalization> {
  const model = await readModel();
  const normalization = normalizationOf(choice, model);
  if (inputType === 'uint8' && !takesPixels(model) && takePixels(model, normalization) === null) {
    throw cannotFold(shownName);
  }
  return normalization;
}

/** Whether the model's own input is uint8 already. */
export function takesPixels(model: OnnxModel): boolean {
  const [input] = graphOf(model).input;
  return input !== undefined && elementTypeOf(input) === UINT8;
}

const UINT8: number = DataType.UINT8;

/** A normalization inside the model counts as a layer when channels are equalized. */
function withoutChanges(table: Source['table'], tensor: string | null): Source['table'] {
  const { equalization } = table;
  if (equalization === undefined || tensor === null) return table;
  const changes = equalization.changes.filter((change) => change.tensor !== tensor);
  return { ...table, equalization: { ...equalization, changes } };
}

function cannotFold(shownName: string): OnnxError {
  return new OnnxError({
    code: 'quantization/pixel-input',
    message: `${shownName}: normalization cannot be folded exactly: expected one ungrouped convolution over three channels with constant weights to read the input, and nothing else`,
    hint: 'leave the input type at float32',
  });
}
