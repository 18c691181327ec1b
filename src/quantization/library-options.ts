import { z } from 'zod';
import { UsageError } from '../diagnostics/errors.ts';
import { expectation, pathText, type Issue } from '../diagnostics/issue-wording.ts';
import { nameHint } from '../diagnostics/nearest-name.ts';
import { isOnnxModel, type OnnxModel } from '../onnx/model.ts';
import type { CalibrationTable } from './calibration-table.ts';
import {
  BIAS_CORRECTIONS,
  CALIBRATION_METHODS,
  EQUALIZATION_CHOICES,
  GRANULARITIES,
  INPUT_ROUNDINGS,
  INPUT_TYPES,
  LARGEST_SIZE,
  ROUNDINGS,
  TARGETS,
  WEIGHT_RANGES,
} from './choices.ts';
import type { ImagesPhase, QuantizationChoices } from './quantize-images.ts';
import { SENSITIVITIES } from './choices.ts';
import { PRESET_NAMES, type NormalizationChoice } from './normalization-choice.ts';

/**
 * Normalized inputs, each [3, H, W] of the model's size ([H, W, 3] where it takes channels last), in
 * any number: they are streamed.
 */
export type InputTensors = Iterable<Float32Array> | AsyncIterable<Float32Array>;

/** A folder of photographs, searched at any depth, and how the model wants their pixels. */
export interface PhotographFolder extends NormalizationChoice {
  readonly folder: string;
}

/** How far a call is: what it does now, and on how many images it is done. */
export interface LibraryProgress {
  readonly phase: 'read' | ImagesPhase;
  readonly done: number;
  /** Null while images are read from an iterable. */
  readonly total: number | null;
}

export interface CalibrateModelOptions extends Pick<QuantizationChoices, 'method' | 'percentile'> {
  /** Inputs all calibrate; of a folder `count` photographs do, and a fifth never does. */
  readonly images: InputTensors | PhotographFolder;
  /** Photographs of a folder to calibrate on, evenly spaced; 128 by default. Only beside a folder. */
  readonly count?: number;
  /** Side of the square input in pixels; needed only where the model leaves it open. */
  readonly size?: number;
  /** Threads, as many as there are cores by default; never more than images to calibrate on. */
  readonly workerCount?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LibraryProgress) => void;
}

export interface QuantizeModelOptions extends CalibrateModelOptions, QuantizationChoices {
  /**
   * To compare both models on, for the report; what of them was calibrated on, or is a copy, byte for
   * byte, of what was, is left out (inputs are not compared with photographs). By default what a folder
   * has beside the photographs that calibrate; then all of these may. Photographs are normalized as those
   * of `images`, where these are some.
   */
  readonly compare?: InputTensors | PhotographFolder;
  /**
   * From `calibrateModel`; by default found here, after channels are equalized where that helps. The
   * `ranges` of a result may be those of the equalized network, and are none to give again.
   */
  readonly ranges?: CalibrationTable['tensors'];
}

/*
 * The typings above keep these mistakes out of TypeScript; plain JavaScript needs them told. Schemas
 * and typings are held together by the functions' return types and by the call of each test.
 */

const photographFolder = z.strictObject({
  folder: z.string().min(1),
  preset: z.enum(PRESET_NAMES).exactOptional(),
  mean: z.array(z.number()).exactOptional(),
  std: z.array(z.number()).exactOptional(),
});

/** Which of the two forms was given decides what is wrong with it. */
function imagesLike(value: unknown): z.ZodType<InputTensors | PhotographFolder> {
  const problem = problemOfImages(value);
  if (problem !== null) return z.custom<InputTensors>(() => false, problem);
  // An iterable is left alone: a generator can be run once only.
  if (isIterable(value)) return z.custom<InputTensors>(isIterable);
  return z.preprocess(withoutUndefined, photographFolder);
}

const calibrateOptions = z.strictObject({
  count: z.int().min(1).exactOptional(),
  method: z.enum(CALIBRATION_METHODS).exactOptional(),
  percentile: z.number().min(50).max(100).exactOptional(),
  size: z.int().min(1).max(LARGEST_SIZE).exactOptional(),
  workerCount: z.int().min(1).exactOptional(),
  signal: z.custom<AbortSignal>(isSignal, 'must be an AbortSignal').exactOptional(),
  onProgress: z
    .custom<(progress: LibraryProgress) => void>(
      (value) => typeof value === 'function',
      'must be a function',
    )
    .exactOptional(),
});

const range = z
  .strictObject({ min: z.number(), max: z.number() })
  .refine(({ min, max }) => min <= max, 'must have a min that is not above its max');

const quantizeOptions = calibrateOptions.extend({
  ranges: z.record(z.string(), range).exactOptional(),
  target: z.enum(TARGETS).exactOptional(),
  granularity: z.enum(GRANULARITIES).exactOptional(),
  inputType: z.enum(INPUT_TYPES).exactOptional(),
  sensitivity: z.enum(SENSITIVITIES).exactOptional(),
  exclude: z.array(z.string()).exactOptional(),
  equalization: z.enum(EQUALIZATION_CHOICES).exactOptional(),
  rounding: z.enum(ROUNDINGS).exactOptional(),
  biasCorrection: z.enum(BIAS_CORRECTIONS).exactOptional(),
  weightRange: z.enum(WEIGHT_RANGES).exactOptional(),
  inputRounding: z.enum(INPUT_ROUNDINGS).exactOptional(),
});

/**
 * The options of `calibrateModel` as typed values.
 * @throws UsageError `library/invalid-options`, `library/count-unused`, `library/percentile-unused`
 */
export function parseCalibrateOptions(options: unknown): CalibrateModelOptions {
  const caller = 'calibrateModel';
  const own = withoutUndefined(options);
  const parsed = parseOptions(calibrateOptions.extend(imagesIn(own)), caller, own);
  requireUsedCount(parsed, caller);
  requireUsedPercentile(parsed, caller);
  return parsed;
}

/**
 * The options of `quantizeModel` as typed values.
 * @throws UsageError `library/invalid-options`, `library/count-unused`, `library/percentile-unused`,
 * `library/ranges-given`, `library/photographs-needed`
 */
export function parseQuantizeOptions(options: unknown): QuantizeModelOptions {
  const own = withoutUndefined(options);
  const parsed = parseOptions(
    quantizeOptions.extend({ ...imagesIn(own), ...comparedIn(own) }),
    'quantizeModel',
    own,
  );
  for (const name of ['images', 'compare'] as const) {
    const given = parsed[name];
    const isTensors = given !== undefined && !('folder' in given);
    if (!isTensors) continue;
    if (parsed.inputType === 'uint8') throw unknownPixels(name, 'inputType', 'uint8');
    // The other choice, range, is what is done with inputs.
    if (name === 'images' && parsed.inputRounding === 'pixels') {
      throw unknownPixels(name, 'inputRounding', 'pixels');
    }
  }
  requireUsedCount(parsed, 'quantizeModel');
  if (parsed.ranges === undefined) {
    requireUsedPercentile(parsed, 'quantizeModel');
    return parsed;
  }
  const isSettled = (name: (typeof SETTLED_BY_RANGES)[number]): boolean =>
    parsed[name] !== undefined && !(name === 'equalization' && parsed[name] === 'none');
  const idle = SETTLED_BY_RANGES.filter(isSettled);
  if (idle.length > 0) throw settled(idle);
  return parsed;
}

function requireUsedCount(
  { images, count }: Pick<CalibrateModelOptions, 'images' | 'count'>,
  caller: string,
): void {
  if (count === undefined || 'folder' in images) return;
  throw new UsageError({
    code: 'library/count-unused',
    message: `${caller}: the option "count" has no say, since "images" are inputs, which all calibrate`,
    hint: 'leave it out, and give as many inputs as shall calibrate',
  });
}

function requireUsedPercentile(
  { method = 'auto', percentile }: Pick<CalibrateModelOptions, 'method' | 'percentile'>,
  caller: string,
): void {
  if (percentile === undefined || method === 'percentile' || method === 'auto') return;
  throw new UsageError({
    code: 'library/percentile-unused',
    message: `${caller}: the option "percentile" has no say with method ${method}`,
    hint: 'leave it out, or leave the method at auto or choose percentile',
  });
}

/** What says how ranges are found. */
const SETTLED_BY_RANGES = ['method', 'percentile', 'equalization'] as const;

function settled(idle: readonly string[]): UsageError {
  const names = idle.map((name) => `"${name}"`).join(' and ');
  return new UsageError({
    code: 'library/ranges-given',
    message: `quantizeModel: with the option "ranges" nothing is calibrated, so ${names} would have no say`,
    hint: `leave out ${names}, or leave out "ranges"`,
  });
}

function unknownPixels(name: string, option: string, choice: string): UsageError {
  return new UsageError({
    code: 'library/photographs-needed',
    message: `quantizeModel: the option "${option}" can be ${choice} only where "${name}" are photographs, since nothing tells how inputs were made of pixels`,
    hint: `give ${name}: { folder, preset }`,
  });
}

function imagesIn(options: unknown) {
  return { images: imagesLike(valueAt(options, ['images'])) };
}

function comparedIn(options: unknown) {
  const given = valueAt(options, ['compare']);
  return { compare: imagesLike(given === undefined ? [] : given).exactOptional() };
}

function parseOptions<Schema extends z.ZodObject>(
  schema: Schema,
  caller: string,
  options: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(options);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => describeIssue(issue, options, schema.shape));
  const hint = problems.find((problem) => problem.hint !== undefined)?.hint;
  throw new UsageError({
    code: 'library/invalid-options',
    message: `${caller}: ${problems.map(({ message }) => message).join('; ')}`,
    hint: hint ?? 'the typings of drq say what each option may be',
  });
}

interface Problem {
  readonly message: string;
  readonly hint?: string;
}

function describeIssue(issue: Issue, options: unknown, known: object): Problem {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    const names = path.length === 0 ? Object.keys(known) : Object.keys(photographFolder.shape);
    const hint = nameHint(key, names) ?? `known: ${names.join(', ')}`;
    const unknown = issue.keys.map((name) => `"${pathText([...path, name])}"`).join(', ');
    return { message: `there is no option ${unknown}`, hint };
  }
  const subject = path.length === 0 ? 'the options' : `the option "${pathText(path)}"`;
  const wanted = path.length === 0 ? 'must be an object such as { images }' : expectation(issue);
  return { message: `${subject} ${wanted}, received ${shown(valueAt(options, path))}` };
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value;
  for (const step of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    if (!Object.hasOwn(found, step)) return undefined; // what is inherited is not parsed either
    found = (found as Record<PropertyKey, unknown>)[step]; // an object has what any key gives
  }
  return found;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return 'a list';
  if (ArrayBuffer.isView(value)) return `one ${value.constructor.name}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}

/**
 * A copy of the own members, those left out that callers in plain JavaScript write as
 * `{ target: undefined }` for an option that they do not give.
 */
function withoutUndefined(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined));
}

function problemOfImages(value: unknown): string | null {
  const isObject = typeof value === 'object' && value !== null;
  if (!isObject) {
    return 'must be inputs (an array or a generator of Float32Array) or photographs ({ folder, preset })';
  }
  if (ArrayBuffer.isView(value)) {
    return 'must be an array or a generator of inputs: put a single one into an array';
  }
  return null;
}

/** By what is used of it: one of another realm, or of a package, is as good as Node's. */
function isSignal(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'aborted' in value &&
    typeof value.aborted === 'boolean' &&
    ['addEventListener', 'removeEventListener'].every(
      (name) => typeof (value as Record<string, unknown>)[name] === 'function', // it is an object
    )
  );
}

function isIterable(value: unknown): value is InputTensors {
  return (
    typeof value === 'object' &&
    value !== null &&
    (Symbol.iterator in value || Symbol.asyncIterator in value)
  );
}

/**
 * Verifies that what was given as the model is a path or a model.
 * @throws UsageError `library/invalid-model`
 */
export function parseModel(model: unknown): OnnxModel | string {
  const isPath = typeof model === 'string' && model !== '';
  if (isPath || isOnnxModel(model)) return model;
  throw new UsageError({
    code: 'library/invalid-model',
    message: `the model must be the path of an ONNX file or what readOnnx or decodeOnnx gave, received ${shown(model)}`,
    hint: 'for instance quantizeModel("model.onnx", …), or quantizeModel(await readOnnx("model.onnx"), …)',
  });
}
