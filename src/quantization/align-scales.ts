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
  const needs = new Map<string, number>();
  const bounds = new Map<string, number>();
  for (const [tensor, { scale }] of activations) {
    const { source, high } = tensors.get(tensor)!; // planned from it
    needs.set(source, scale);
    bounds.set(source, Math.max(scale, high / UINT8_MAX));
  }
  const sources = [...needs.keys()];
  const indexOf = new Map(sources.map((source, i) => [source, i]));
  const at = (tensor: string): number => indexOf.get(sourceOf(tensor))!; // planned
  const links = joins.flatMap((join) => linksOf(join, at));
  const readByLayers = new Set(layers.map((layer) => at(layer.inputTensor)));
  const needed = Float64Array.from(needs.values());
  const steps = {
    needs: needed,
    bounds: Float64Array.from(bounds.values()),
    sizes: sizesBehind(links, needed, readByLayers),
  };
  const scales = needed.slice();
  for (const linked of components(links, sources.length)) {
    const best = bestScales(linked, steps);
    for (const source of linked.members) scales[source] = best[source]!; // all are indices of sources
  }
  return new Map(
    [...activations].map(([tensor, parameters]) => [
      tensor,
      { ...parameters, scale: Math.fround(scales[at(tensor)]!) }, // as above
    ]),
  );
}

/** Numbers of each source. */
interface Steps {
  /** The scale that its range needs. */
  readonly needs: Float64Array;
  /** The largest scale that the bound of its Clip allows, see `activationParameters`. */
  readonly bounds: Float64Array;
  /** The scale that what its errors end up in needs. */
  readonly sizes: Float64Array;
}

/** Sources, by index, that would share a scale, and whose error that would spare. */
interface Link {
  readonly kind: Join['kind'];
  readonly sources: readonly number[];
  readonly output: number;
}

/** An Add is exact when all three share a scale, each input of a Concat by itself. */
function linksOf(
  { kind, inputs, output }: Join,
  indexOf: (tensor: string) => number,
): readonly Link[] {
  const target = indexOf(output);
  const sources = inputs.map(indexOf);
  if (kind === 'Add') return [{ kind, sources: [...sources, target], output: target }];
  return sources.map((source) => ({ kind, sources: [source, target], output: target }));
}

/** For each source the need of what its errors end up in: the smallest, where that is several. */
function sizesBehind(
  links: readonly Link[],
  needs: Float64Array,
  readByLayers: ReadonlySet<number>,
): Float64Array {
  const sizes = new Map<number, number>();
  for (const { sources, output } of links) {
    for (const source of sources) {
      if (source === output || readByLayers.has(source)) continue;
      sizes.set(source, Math.min(sizes.get(source) ?? Infinity, needs[output]!)); // a source too
    }
  }
  return needs.map((need, source) => sizes.get(source) ?? need);
}

interface Component {
  readonly links: readonly Link[];
  readonly members: readonly number[];
}

/** Links that have sources in common, directly or by others, in their order. */
function components(links: readonly Link[], sourceCount: number): Component[] {
  const groups = createGroups(sourceCount);
  for (const { sources } of links) groups.join(sources);
  const found = new Map<number, Link[]>();
  for (const link of links) {
    const root = groups.rootOf(link.output);
    const others = found.get(root);
    if (others === undefined) found.set(root, [link]);
    else others.push(link);
  }
  return [...found.values()].map((linked) => ({
    links: linked,
    members: [...new Set(linked.flatMap(({ sources }) => sources))],
  }));
}

/** From none and from all of the links in force, one after another is changed as long as that helps. */
function bestScales(component: Component, steps: Steps): Float64Array {
  const [none, all] = [false, true].map((start) => {
    const inForce = component.links.map(() => start);
    let best = tryLinks(component, inForce, steps);
    for (let isBetter = true; isBetter;) {
      isBetter = false;
      for (const i of inForce.keys()) {
        inForce[i] = !inForce[i];
        const changed = tryLinks(component, inForce, steps);
        if (changed.cost < best.cost) {
          best = changed;
          isBetter = true;
        } else {
          inForce[i] = !inForce[i];
        }
      }
    }
    return best;
  }) as [Trial, Trial]; // one each
  return all.cost < none.cost ? all.scales : none.scales;
}

interface Trial {
  /** Sum of the squared relative steps of every rounding; infinite where a scale must not be that large. */
  readonly cost: number;
  /** Of every source; those of the component have been set. */
  readonly scales: Float64Array;
}

function tryLinks(
  { links, members }: Component,
  inForce: readonly boolean[],
  { needs, bounds, sizes }: Steps,
): Trial {
  const groups = createGroups(needs.length);
  for (let i = 0; i < links.length; i += 1) if (inForce[i] === true) groups.join(links[i]!.sources);
  // Every index below is a source's.
  const largest = new Float64Array(needs.length);
  for (const source of members) {
    const root = groups.rootOf(source);
    largest[root] = Math.max(largest[root]!, needs[source]!);
  }
  const scales = needs.slice();
  for (const source of members) scales[source] = largest[groups.rootOf(source)]!;
  const errorOf = (source: number): number => (scales[source]! / sizes[source]!) ** 2;
  const isExact = new Uint8Array(needs.length);
  let cost = 0;
  for (let i = 0; i < links.length; i += 1) {
    const { kind, output } = links[i]!;
    // A concatenation rounds for each input by itself.
    if (kind === 'Concat' || inForce[i] === true) isExact[output] = 1;
    if (kind === 'Concat' && inForce[i] !== true) cost += errorOf(output);
  }
  for (const source of members) {
    if (isExact[source] === 0) cost += errorOf(source);
    if (scales[source]! > bounds[source]!) cost = Infinity;
  }
  return { cost, scales };
}

/** Sets of sources that grow together (union-find). */
function createGroups(count: number) {
  const parents = new Int32Array(count);
  for (let source = 0; source < count; source += 1) parents[source] = source;
  const rootOf = (source: number): number => {
    let root = source;
    while (parents[root] !== root) root = parents[root]!; // below count
    parents[source] = root;
    return root;
  };
  const join = ([first = 0, ...others]: readonly number[]): void => {
    for (const other of others) parents[rootOf(other)] = rootOf(first);
  };
  return { rootOf, join };
}
