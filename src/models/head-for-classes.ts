import { headOf, parameterSpecs, type Network } from './network.ts';
import { initialValues, weightOf } from './weights.ts';

/** What becomes of a head trained on some classes in a training on others. */
export type HeadFit =
  /** Shapes tell: they fit, or the head is drawn anew. */
  | { readonly kind: 'by-shape' }
  /** Output i is output `from[i]` of the trained head. */
  | { readonly kind: 'reordered'; readonly from: readonly number[] }
  /** As many classes, but others: no output means what it did. */
  | { readonly kind: 'other-classes'; readonly gone: string[]; readonly added: string[] };

/** Compares the classes that a head was trained on, in order of its outputs, with those of a training. */
export function headFit(trained: readonly string[], classes: readonly string[]): HeadFit {
  if (trained.length !== classes.length) return { kind: 'by-shape' };
  // Recorded names may be older than the rule that class names are composed.
  const [was, is] = [trained, classes].map((names) => names.map((name) => name.normalize('NFC')));
  const from = is!.map((name) => was!.indexOf(name)); // both were mapped
  if (from.every((position, i) => position === i)) return { kind: 'by-shape' };
  if (!from.includes(-1)) return { kind: 'reordered', from };
  return {
    kind: 'other-classes',
    gone: was!.filter((name) => !is!.includes(name)),
    added: is!.filter((name) => !was!.includes(name)),
  };
}

interface Loaded {
  readonly weights: Map<string, Float32Array>;
  readonly replaced: readonly string[];
}

/**
 * The weights with the head's outputs in the order of the new classes, or with a new head; `replaced` names
 * what was drawn anew. Keeps the arrays of all other layers.
 */
export function withFittingHead(
  network: Network,
  { weights, replaced }: Loaded,
  fit: HeadFit,
  seed: number,
): Loaded {
  const head = parameterSpecs(network).filter(({ layer }) => layer === headOf(network));
  switch (fit.kind) {
    case 'by-shape':
      return { weights, replaced };
    case 'reordered': {
      const entries = head.map(
        ({ name }) => [name, reordered(weightOf(weights, name), fit.from)] as const,
      );
      return { weights: new Map([...weights, ...entries]), replaced };
    }
    case 'other-classes': {
      const entries = head.map((spec) => [spec.name, initialValues(network, spec, seed)] as const);
      return {
        weights: new Map([...weights, ...entries]),
        replaced: [...new Set([...replaced, ...head.map(({ name }) => name)])],
      };
    }
  }
}

/** Columns of [in, out], or of a bias [out], in another order. */
function reordered(data: Float32Array, from: readonly number[]): Float32Array {
  const columns = from.length;
  return data.map((_, i) => data[i - (i % columns) + from[i % columns]!]!); // a position of the same row
}
