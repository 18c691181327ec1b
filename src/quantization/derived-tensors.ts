import { floatOf, integerOf } from '../onnx/attributes.ts';
import { indexGraph, type GraphIndex } from '../onnx/graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { RESHAPING } from '../onnx/reshaping.ts';
import { inferGraph } from '../onnx/shape-inference.ts';
import { joinHistograms, mapHistogram } from './observers/histogram.ts';
import type { ObserverState } from './observers/observer.ts';

/** How the values of a tensor follow from those of others, so that nobody has to look at them. */
export type Derivation =
  /** The same values in another shape. */
  | { readonly kind: 'same'; readonly input: string }
  /** All values of the inputs, which have so many each. */
  | {
      readonly kind: 'joined';
      readonly inputs: readonly string[];
      readonly sizes: readonly number[];
    }
  | { readonly kind: 'mapped'; readonly input: string; readonly map: ValueMap };

/** A function of one value that falls up to `turn` and rises from there. */
export interface ValueMap {
  readonly valueOf: (value: number) => number;
  readonly turn: number;
}

const SIGMOID: ValueMap = { valueOf: (x) => 1 / (1 + Math.exp(-x)), turn: -Infinity };
/** x · sigmoid(x) is least where its slope is 0: 1 + x (1 - sigmoid(x)) = 0. */
const SILU: ValueMap = { valueOf: (x) => x / (1 + Math.exp(-x)), turn: -1.2784645427610738 };

/**
 * Derivations of those of `tensors` that have one, in the order of the graph: what one is derived from
 * is derived before it, or has to be looked at. In a DenseNet joined tensors are most of what there is
 * to read, in an EfficientNet two of three tensors are a sigmoid and its product.
 */
export function derivationsOf(
  graph: OnnxGraph,
  tensors: ReadonlySet<string>,
): Map<string, Derivation> {
  const index = indexGraph(graph);
  const { shapes } = inferGraph(graph);
  const derivations = new Map<string, Derivation>();
  for (const node of graph.node) {
    const [tensor = ''] = node.output;
    const found = tensors.has(tensor) ? derivationOf(node, index, shapes) : null;
    if (found === null) continue;
    const inputs = found.kind === 'joined' ? found.inputs : [found.input];
    if (inputs.every((input) => tensors.has(input))) derivations.set(tensor, found);
  }
  return derivations;
}

function derivationOf(
  node: OnnxNode,
  { producers }: GraphIndex,
  shapes: ReadonlyMap<string, readonly number[]>,
): Derivation | null {
  const [input = '', other = ''] = node.input;
  if (RESHAPING.has(node.opType) || node.opType === 'Transpose') return { kind: 'same', input };
  if (node.opType === 'Sigmoid') return { kind: 'mapped', input, map: SIGMOID };
  if (node.opType === 'HardSigmoid') return { kind: 'mapped', input, map: hardSigmoid(node) };
  if (node.opType === 'Concat') {
    const sizes = node.input.map((name) =>
      (shapes.get(name) ?? [NaN]).slice(1).reduce((product, size) => product * size, 1),
    );
    const areKnown = node.input.every((name) => shapes.has(name)) && !sizes.some(Number.isNaN);
    // Along the batch, or of one input: nothing that networks do.
    return areKnown && integerOf(node, 'axis', 0) !== 0
      ? { kind: 'joined', inputs: node.input, sizes }
      : null;
  }
  if (node.opType === 'Mul') {
    const gateOf = (name: string): string | undefined => {
      const producer = producers.get(name);
      return producer?.opType === 'Sigmoid' ? producer.input[0] : undefined;
    };
    if (gateOf(other) === input) return { kind: 'mapped', input, map: SILU };
    if (gateOf(input) === other) return { kind: 'mapped', input: other, map: SILU };
  }
  return null;
}

/** max(0, min(1, alpha · x + beta)) */
function hardSigmoid(node: OnnxNode): ValueMap {
  const [alpha, beta] = [floatOf(node, 'alpha', 0.2), floatOf(node, 'beta', 0.5)];
  return {
    valueOf: (x) => Math.max(0, Math.min(1, alpha * x + beta)),
    turn: alpha >= 0 ? -Infinity : Infinity,
  };
}

/**
 * `observed` with the states of derived tensors, all in the order of `tensors`. That is no graph order:
 * a reader of a derived tensor may stand before all others of what it derives from.
 */
export function withDerived(
  observed: ReadonlyMap<string, ObserverState>,
  derivations: ReadonlyMap<string, Derivation>,
  tensors: Iterable<string>,
): Map<string, ObserverState> {
  if (observed.size === 0) return new Map();
  const all = new Map(observed);
  const known = (tensor: string): ObserverState => all.get(tensor)!; // observed, or derived before
  for (const [tensor, derivation] of derivations) all.set(tensor, stateOf(derivation, known));
  return new Map(Array.from(tensors, (tensor) => [tensor, known(tensor)]));
}

function stateOf(derivation: Derivation, of: (tensor: string) => ObserverState): ObserverState {
  switch (derivation.kind) {
    case 'same':
      return of(derivation.input);
    case 'joined':
      return joined(derivation.inputs.map(of), derivation.sizes);
    case 'mapped':
      return mapped(of(derivation.input), derivation.map);
  }
}

function joined(states: readonly ObserverState[], sizes: readonly number[]): ObserverState {
  const extreme = (
    key: 'imageMinima' | 'imageMaxima',
    choose: (...values: number[]) => number,
  ): Float32Array =>
    states[0]![key].map((_, image) => choose(...states.map((state) => state[key][image]!)));
  const range = {
    min: Math.min(...states.map(({ min }) => min)),
    max: Math.max(...states.map(({ max }) => max)),
  };
  const histograms = states.flatMap(({ histogram }) => histogram ?? []);
  return {
    ...range,
    imageMinima: extreme('imageMinima', Math.min),
    imageMaxima: extreme('imageMaxima', Math.max),
    ...(histograms.length < states.length
      ? {}
      : { histogram: joinHistograms(histograms, sizes, range) }),
  };
}

/** The least value is that of the turn where the input passes it: it may lie between two values seen. */
function mapped(state: ObserverState, { valueOf, turn }: ValueMap): ObserverState {
  const leastOf = (min: number, max: number): number => valueOf(Math.min(Math.max(turn, min), max));
  const mostOf = (min: number, max: number): number => Math.max(valueOf(min), valueOf(max));
  const { imageMinima, imageMaxima } = state;
  const range = { min: leastOf(state.min, state.max), max: mostOf(state.min, state.max) };
  return {
    ...range,
    imageMinima: imageMinima.map((min, i) => leastOf(min, imageMaxima[i]!)), // one an image
    imageMaxima: imageMinima.map((min, i) => mostOf(min, imageMaxima[i]!)),
    ...(state.histogram === undefined
      ? {}
      : { histogram: mapHistogram(state.histogram, valueOf, range) }),
  };
}
