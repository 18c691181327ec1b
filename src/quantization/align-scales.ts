import { createGroups } from './groups.ts';
import type { GraphMarks } from './mark-graph.ts';
import { UINT8_MAX, type ActivationParameters } from './parameters.ts';
import { bestScales, type Component, type Link } from './search-links.ts';

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
    for (const [place, source] of linked.members.entries()) scales[source] = best[place]!; // one each
  }
  return new Map(
    [...activations].map(([tensor, parameters]) => [
      tensor,
      { ...parameters, scale: Math.fround(scales[at(tensor)]!) }, // as above
    ]),
  );
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
