import { DataError } from '../diagnostics/errors.ts';
import { isReplaceable } from './is-replaceable.ts';
import { kerasNames } from './keras-names.ts';
import {
  elementCount,
  headOf,
  parameterSpecs,
  type Network,
  type ParameterSpec,
} from './network.ts';
import { missingWeights, type MissingWeights, type StoredPlace } from './missing-weights.ts';
import { negativeVariance } from './negative-variance.ts';
import { readWeightsFile } from './read-weights-file.ts';
import type { StoredTensor, StoredTensors } from './safetensors.ts';
import { torchLayout } from './torch-layout.ts';
import { requireArchitecture, type WeightsTopology } from './weights-topology.ts';
import { initialValues } from './weights.ts';

export interface LoadedWeights {
  readonly weights: Map<string, Float32Array>;
  /** Whose names and layouts the file has. */
  readonly origin: 'torchvision' | 'keras';
  /** Parameters that were not taken from the file: the head when the class count differs or there is none. */
  readonly replaced: readonly string[];
  /**
   * The file has no batch norm but the network has: these layers got the folded biases as `beta`, with
   * identity statistics, and need `rebuildBatchNorm` before they train.
   */
  readonly foldedBatchNorm: boolean;
}

/** The same with what the file records of the training that wrote it. */
export interface LoadedFile extends LoadedWeights {
  readonly topology: WeightsTopology | null;
}

/**
 * Weights of `network` from a safetensors or PyTorch file with torchvision's names (any network) or
 * Keras's (MobileNetV2). Layers that depend on the class count, and AlexNet's first dense layer, are drawn
 * anew when their shape differs; so is a head that the file does not have at all.
 * @throws DataError naming the tensor for missing names, unknown names, wrong shapes and negative variances;
 * `models/other-architecture` where the file says so.
 */
export async function loadWeights(
  network: Network,
  path: string,
  seed: number,
): Promise<LoadedFile> {
  const { tensors, integers, topology } = await readWeightsFile(path);
  if (topology !== null) requireArchitecture(network, topology);
  return { ...weightsFromTensors(network, tensors, { path, seed, integers }), topology };
}

/** Weights from tensors already read; `integers` are the others of the file, and `path` is for messages. */
export function weightsFromTensors(
  network: Network,
  tensors: Tensors,
  {
    path,
    seed,
    integers = new Map(),
  }: { path: string; seed: number; integers?: StoredTensors['integers'] },
): LoadedWeights {
  const keras = [...tensors.keys()].some((name) => name.includes('/'));
  if (keras && network.options.architecture !== 'mobilenet-v2') {
    throw new DataError({
      code: 'models/unknown-weights',
      message: `${path} has Keras's names, which are known for mobilenet-v2 only; the network is ${network.options.architecture}`,
      hint: "give a safetensors file with torchvision's state_dict names",
    });
  }
  const source = keras ? kerasSource(network, tensors) : torchSource(network, tensors);
  const weights = new Map<string, Float32Array>();
  const replaced: string[] = [];
  const used = new Set<string>();
  const missing: MissingWeights['missing'][number][] = [];
  let foldedBatchNorm = false;
  for (const spec of parameterSpecs(network)) {
    const found = source(spec);
    if (found === 'folded') {
      foldedBatchNorm = true;
      weights.set(spec.name, initialValues(network, spec, seed));
      continue;
    }
    const tensor = tensors.get(found.storedName);
    if (tensor === undefined) {
      missing.push({ spec, ...found });
      continue;
    }
    used.add(found.storedName);
    if (!sameShape(tensor.shape, found.storedShape)) {
      if (!isReplaceable(network, spec)) throw wrongShape(path, found, tensor, spec);
      replaced.push(spec.name);
      weights.set(spec.name, initialValues(network, spec, seed));
      continue;
    }
    const problem = negativeVariance(spec, tensor.data);
    if (problem !== null) throw malformed(path, found.storedName, problem);
    weights.set(spec.name, found.convert(tensor.data));
  }
  const isAbsent = missing.every(({ storedName }) => !integers.has(storedName));
  if (isAbsent && isHeadAlone(network, missing) && unusedNames(tensors, used).length === 0) {
    for (const { spec } of missing) {
      replaced.push(spec.name);
      weights.set(spec.name, initialValues(network, spec, seed));
    }
  } else if (missing.length > 0) {
    const neededCount = parameterSpecs(network).length;
    throw missingWeights({
      ...{ path, network, missing, neededCount, integers },
      unusedNames: unusedNames(tensors, used),
    });
  }
  rejectUnknown(path, tensors, used);
  return { weights, origin: keras ? 'keras' : 'torchvision', replaced, foldedBatchNorm };
}

/** Whether all of the head is missing and nothing else, as of a backbone that was saved without it. */
function isHeadAlone(network: Network, missing: MissingWeights['missing']): boolean {
  const head = headOf(network);
  const headCount = parameterSpecs(network).filter(({ layer }) => layer === head).length;
  return missing.length === headCount && missing.every(({ spec }) => spec.layer === head);
}

interface StoredParameter extends StoredPlace {
  convert(data: Float32Array): Float32Array;
}
type Source = (spec: ParameterSpec) => StoredParameter | 'folded';
type Tensors = ReadonlyMap<string, StoredTensor>;

function torchSource(network: Network, tensors: Tensors): Source {
  return (spec) => {
    const { layer, shape } = spec;
    const isBatchNorm = spec.role !== 'weight' && spec.role !== 'bias';
    if (isBatchNorm && !tensors.has(spec.name) && layer.kind === 'convolution') {
      // A folded file has a bias beside the convolution instead; it becomes beta.
      const biasName = `${layer.weightName}.bias`;
      if (tensors.has(biasName)) {
        return spec.role === 'beta' ? asIs(biasName, shape) : 'folded';
      }
    }
    const { shape: storedShape, fromTorch } = torchLayout(network, spec);
    return { storedName: spec.name, storedShape, convert: fromTorch };
  };
}

function kerasSource(network: Network, tensors: Tensors): Source {
  const names = kerasNames(network);
  return (spec) => {
    const { layer, role, shape } = spec;
    const prefix = names.get(layer.weightName) ?? layer.weightName;
    if (role === 'weight') {
      const depthwise = layer.kind === 'convolution' && layer.depthwise;
      return asIs(`${prefix}/${depthwise ? 'depthwise_kernel' : 'kernel'}`, shape);
    }
    if (role === 'bias') return asIs(`${prefix}/bias`, shape);
    if (tensors.has(`${prefix}/bias`)) {
      return role === 'beta' ? asIs(`${prefix}/bias`, shape) : 'folded';
    }
    return kerasBatchNorm(prefix, role, shape);
  };
}

/** Keras's MobileNetV2 has epsilon 1e-3: the difference to PyTorch's 1e-5 goes into the variance. */
const KERAS_EPSILON_SURPLUS = 1e-3 - 1e-5;

function kerasBatchNorm(
  prefix: string,
  role: ParameterSpec['role'],
  shape: readonly number[],
): StoredParameter {
  const layerName =
    prefix === 'Conv1' ? 'bn_Conv1' : prefix === 'Conv_1' ? 'Conv_1_bn' : `${prefix}_BN`;
  const part = {
    weight: 'kernel',
    bias: 'bias',
    gamma: 'gamma',
    beta: 'beta',
    mean: 'moving_mean',
    variance: 'moving_variance',
  }[role];
  const stored = asIs(`${layerName}/${part}`, shape);
  if (role !== 'variance') return stored;
  return { ...stored, convert: (data) => data.map((value) => value + KERAS_EPSILON_SURPLUS) };
}

function asIs(storedName: string, storedShape: readonly number[]): StoredParameter {
  return { storedName, storedShape, convert: (data) => data };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  // A depthwise kernel [kh, kw, C, 1] may be stored without its last 1.
  return (
    (a.length === b.length && a.every((size, i) => size === b[i])) ||
    (elementCount(a) === elementCount(b) && b.at(-1) === 1 && sameShape(a, b.slice(0, -1)))
  );
}

function wrongShape(
  path: string,
  { storedName, storedShape }: StoredParameter,
  tensor: StoredTensor,
  spec: ParameterSpec,
): DataError {
  return new DataError({
    code: 'models/wrong-shape',
    message: `${path}: "${storedName}" has shape [${tensor.shape.join(', ')}], expected [${storedShape.join(', ')}] for ${spec.name}`,
    hint: 'the weights must come from the same architecture and width; only the layers that depend on the class count may differ',
  });
}

function malformed(path: string, name: string, problem: string): DataError {
  return new DataError({
    code: 'models/malformed-weights',
    message: `${path}: "${name}" ${problem}`,
    hint: 'download or export the file again; the tensor may have been damaged or taken from another place',
  });
}

/** Without PyTorch's counters of batches, which some scripts cast to float with all else. */
function unusedNames(tensors: Tensors, used: ReadonlySet<string>): string[] {
  return [...tensors.keys()].filter(
    (name) => !used.has(name) && !name.endsWith('num_batches_tracked'),
  );
}

function rejectUnknown(path: string, tensors: Tensors, used: ReadonlySet<string>): void {
  const unknown = unusedNames(tensors, used);
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 5).map((name) => `"${name}"`);
  throw new DataError({
    code: 'models/unknown-weights',
    message: `${path} has ${unknown.length} tensor(s) the network does not: ${shown.join(', ')}${unknown.length > 5 ? ', …' : ''}`,
    hint: 'check "architecture", "variant" and "batchNorm": weights with batch norm need batchNorm: standard',
  });
}
