import type { GraphMarks } from './mark-graph.ts';
import { UINT8_MAX, type ActivationParameters } from './parameters.ts';

/** An Add or Concat that runs in integers on tensors that all have parameters. */
export interface Join {
  readonly kind: 'Add' | 'Concat';
  readonly inputs: readonly string[];
  readonly output: string;
}

/**
 * Gives tensors that an Add or Concat joins one scale where that makes rounding errors smaller in all.
 * Codes of one scale add up to codes of it, and are concatenated as they are, so the result is exact;
 * with scales of their own it is rounded once more. In return every tensor of such a group takes the
 * largest scale that one of them needs. In a residual stream this weighs the block's output (signed,
 * short) against the stream (long, and longer with each block). Zero points stay: what a larger scale
 * adds to a range is shared out in proportion.
 *
 * An error is taken as uniform, of variance scale² / 12, and weighed by the size of what it ends up in:
 * the tensor itself where a layer reads it, else what it is added to or concatenated with. Later layers
 * keep that relation: what normalizes a small signal enlarges its errors as well.
 */
export function alignScales(
  activations: ReadonlyMap<string, ActivationParameters>,
  { tensors, joins, layers }: Pick<GraphMarks, 'tensors' | 'joins' | 'layers'>,
): Map<string, ActivationParameters> {
  const sourceOf = (tensor: string): string => tensors.get(tensor)!.source; // joins name marked ones
  const all = joins.flatMap((join) => linksOf(join, sourceOf));
  const needs = new Map<string, number>();
  const bounds = new Map<string, number>();
  for (const [tensor, { scale }] of activations) {
    const { source, high } = tensors.get(tensor)!; // planned from it
    needs.set(source, scale);
    bounds.set(source, Math.max(scale, high / UINT8_MAX));
  }
  const sizes = sizesBehind(
    all,
    needs,
    new Set(layers.map((layer) => sourceOf(layer.inputTensor))),
  );
  const steps = new Map<string, Step>();
  for (const [source, scale] of needs) {
    // Every tensor has a bound and a size.
    steps.set(source, { scale, largest: bounds.get(source)!, size: sizes.get(source)! });
  }
  const aligned = new Map<string, number>();
  for (const links of components(all)) {
    for (const [source, scale] of bestScales(links, steps)) aligned.set(source, scale);
  }
  return new Map(
    [...activations].map(([tensor, parameters]) => {
      const scale = Math.fround(aligned.get(sourceOf(tensor)) ?? parameters.scale);
      return [tensor, { ...parameters, scale }];
    }),
  );
}

interface Step {
  /** That its range needs. */
  readonly scale: number;
  /** That the bound of its Clip allows, see `activationParameters`. */
  readonly largest: number;
  /** The scale that what its errors end up in needs. */
  readonly size: number;
}

/** Tensors that would share a scale, and whose error that would spare. */
interface Link {
  readonly kind: Join['kind'];
  readonly sources: readonly string[];
  readonly output: string;
}

/** An Add is exact when all three share a scale, each input of a Concat by itself. */
function linksOf(
  { kind, inputs, output }: Join,
  sourceOf: (tensor: string) => string,
): readonly Link[] {
  const target = sourceOf(output);
  const sources = inputs.map(sourceOf);
  if (kind === 'Add') return [{ kind, sources: [...sources, target], output: target }];
  return sources.map((source) => ({ kind, sources: [source, target], output: target }));
}

/** For each tensor the scale that what its errors end up in needs: the smallest, where that is several. */
function sizesBehind(
  links: readonly Link[],
  needs: ReadonlyMap<string, number>,
  readByLayers: ReadonlySet<string>,
): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { sources, output } of links) {
    for (const source of sources) {
      if (source === output || readByLayers.has(source)) continue;
      sizes.set(source, Math.min(sizes.get(source) ?? Infinity, needs.get(output)!)); // both are planned
    }
  }
  return new Map([...needs].map(([source, need]) => [source, sizes.get(source) ?? need]));
}

/** Links that have tensors in common, directly or by others, in their order. */
function components(links: readonly Link[]): Link[][] {
  const groups = createGroups();
  for (const { sources } of links) groups.join(sources);
  const found = new Map<string, Link[]>();
  for (const link of links) {
    const root = groups.rootOf(link.output);
    found.set(root, [...(found.get(root) ?? []), link]);
  }
  return [...found.values()];
}

/** From none and from all of the links in force, one after another is changed as long as that helps. */
function bestScales(links: readonly Link[], steps: ReadonlyMap<string, Step>): Map<string, number> {
  const candidates = [false, true].map((start) => {
    const inForce = links.map(() => start);
    let { cost, scales } = tryLinks(links, inForce, steps);
    for (let isBetter = true; isBetter;) {
      isBetter = false;
      for (const i of links.keys()) {
        inForce[i] = !inForce[i];
        const changed = tryLinks(links, inForce, steps);
        if (changed.cost < cost) {
          ({ cost, scales } = changed);
          isBetter = true;
        } else {
          inForce[i] = !inForce[i];
        }
      }
    }
    return { cost, scales };
  });
  const [none, all] = candidates as [Trial, Trial];
  return all.cost < none.cost ? all.scales : none.scales;
}

interface Trial {
  /** Sum of the squared relative steps of every rounding; infinite where a scale must not be that large. */
  readonly cost: number;
  readonly scales: Map<string, number>;
}

function tryLinks(
  links: readonly Link[],
  inForce: readonly boolean[],
  steps: ReadonlyMap<string, Step>,
): Trial {
  const groups = createGroups();
  for (const [i, { sources }] of links.entries()) if (inForce[i] === true) groups.join(sources);
  const sources = [...new Set(links.flatMap((link) => link.sources))];
  const needs = new Map<string, number>();
  for (const source of sources) {
    const root = groups.rootOf(source);
    needs.set(root, Math.max(needs.get(root) ?? 0, steps.get(source)!.scale)); // marked, so planned
  }
  const scales = new Map(sources.map((source) => [source, needs.get(groups.rootOf(source))!]));
  const errorOf = (source: string): number => (scales.get(source)! / steps.get(source)!.size) ** 2; // as above
  const rounded = new Set(sources);
  let cost = 0;
  for (const [i, { kind, output }] of links.entries()) {
    if (kind === 'Concat') rounded.delete(output); // it rounds for each input by itself
    if (inForce[i] === true) rounded.delete(output);
    else if (kind === 'Concat') cost += errorOf(output);
  }
  for (const source of rounded) cost += errorOf(source);
  for (const source of sources) {
    const { largest } = steps.get(source)!;
    if (scales.get(source)! > largest) cost = Infinity;
  }
  return { cost, scales };
}

/** Sets of tensors that grow together (union-find). */
function createGroups() {
  const parents = new Map<string, string>();
  const rootOf = (source: string): string => {
    let root = source;
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next;
    if (root !== source) parents.set(source, root);
    return root;
  };
  const join = ([first, ...others]: readonly string[]): void => {
    if (first === undefined) return;
    for (const other of others) {
      const [a, b] = [rootOf(first), rootOf(other)];
      if (a !== b) parents.set(b, a);
    }
  };
  return { rootOf, join };
}
