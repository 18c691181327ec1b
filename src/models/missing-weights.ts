import { distance } from 'fastest-levenshtein';
import { DataError } from '../diagnostics/errors.ts';
import { parameterSpecs, type Network, type ParameterSpec } from './network.ts';
import type { StoredTensors } from './safetensors.ts';

/** A parameter as a weights file has it. */
export interface StoredPlace {
  readonly storedName: string;
  readonly storedShape: readonly number[];
}

export interface MissingWeights {
  readonly path: string;
  readonly network: Network;
  /** At least one, in the network's order. */
  readonly missing: readonly (StoredPlace & { readonly spec: ParameterSpec })[];
  /** How many of them the network needs. */
  readonly neededCount: number;
  /** Of the file's tensors of integers. */
  readonly integers: StoredTensors['integers'];
  /** Of the file, that nothing was taken from. */
  readonly unusedNames: readonly string[];
}

/**
 * The first of the missing by name, how many there are, and what the absence of just these means; those that
 * the file holds as integers come before all others.
 */
export function missingWeights(found: MissingWeights): DataError {
  const { path, missing, neededCount } = found;
  const [first] = missing;
  const { storedName = '', storedShape = [] } = first ?? {};
  const integers = missing.filter((place) => found.integers.has(place.storedName));
  if (integers.length > 0) return integerWeights(found, integers);
  const others =
    missing.length === 1 ? '' : `, nor ${missing.length - 1} more of the ${neededCount} needed`;
  return new DataError({
    code: 'models/missing-weights',
    message: `${path} has no tensor "${storedName}" of shape [${storedShape.join(', ')}], which the network needs${others}`,
    hint: hintFor(found, storedName),
  });
}

function integerWeights(
  { path, neededCount }: MissingWeights,
  integers: MissingWeights['missing'],
): DataError {
  const [first] = integers;
  const others =
    integers.length === 1 ? '' : `, and ${integers.length - 1} more of the ${neededCount} needed`;
  return new DataError({
    code: 'models/missing-weights',
    message: `${path} holds "${first?.storedName ?? ''}" as integers, not as floats${others}`,
    hint: 'these may be quantized weights, which say nothing without their scales: save the state_dict of the model before it was quantized',
  });
}

function hintFor({ network, missing, unusedNames }: MissingWeights, firstName: string): string {
  if (missing.every(({ spec }) => spec.role === 'mean' || spec.role === 'variance')) {
    return 'the file has no running statistics of batch norm: save model.state_dict(), which has them, and not named_parameters()';
  }
  const [nearest] = unusedNames.toSorted((a, b) => distance(a, firstName) - distance(b, firstName));
  if (nearest !== undefined) {
    return `check "architecture", "widthMultiplier" and "batchNorm"; a similar name in the file is "${nearest}"`;
  }
  // Of another architecture whole layers are missing.
  const layers = new Map<ParameterSpec['layer'], number>();
  for (const { spec } of missing) layers.set(spec.layer, (layers.get(spec.layer) ?? 0) + 1);
  const isTorn = [...layers].some(
    ([layer, count]) =>
      count < parameterSpecs(network).filter((spec) => spec.layer === layer).length,
  );
  return isTorn
    ? 'layers in the file are incomplete: save the whole of model.state_dict() again'
    : 'check "architecture", "widthMultiplier" and "batchNorm": the file has fewer layers';
}
