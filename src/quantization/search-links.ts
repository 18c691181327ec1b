import type { Join } from './align-scales.ts';
import { createGroups } from './groups.ts';
import { createSharedScales } from './shared-scales.ts';

/** Numbers of each source. */
export interface Steps {
  /** The scale that its range needs. */
  readonly needs: Float64Array;
  /** The largest scale that the bound of its Clip allows, see `activationParameters`. */
  readonly bounds: Float64Array;
  /** The scale that what its errors end up in needs. */
  readonly sizes: Float64Array;
}

/** Sources, by index, that would share a scale, and whose error that would spare. */
export interface Link {
  readonly kind: Join['kind'];
  readonly sources: readonly number[];
  readonly output: number;
}

/** Links that have sources in common, directly or by others, in their order. */
export interface Component {
  readonly links: readonly Link[];
  readonly members: readonly number[];
}

/**
 * The scale of each member of the component, in their order. From none and from all of the links in
 * force, one after another is changed as long as that helps.
 */
export function bestScales(component: Component, steps: Steps): Float64Array {
  const problem = problemOf(component, steps);
  const [none, all] = [false, true].map((start) => {
    const inForce = problem.links.map(() => start);
    improve(inForce, problem);
    return tryLinks(inForce, problem);
  }) as [Trial, Trial]; // one each
  return all.cost < none.cost ? all.scales : none.scales;
}

/** A component by itself: sources are places among its members. */
export interface Problem extends Steps {
  readonly links: readonly Link[];
  /** The links, by their place, that each member is a source of. */
  readonly linksAt: readonly (readonly number[])[];
  /** Those that each member is the output of. */
  readonly linksInto: readonly (readonly number[])[];
}

function problemOf({ links, members }: Component, steps: Steps): Problem {
  const places = new Map(members.map((source, place) => [source, place]));
  const placeOf = (source: number): number => places.get(source)!; // links join members
  const own = links.map(({ kind, sources, output }) => ({
    ...{ kind, sources: sources.map(placeOf), output: placeOf(output) },
  }));
  const linksAt = members.map((): number[] => []);
  const linksInto = members.map((): number[] => []);
  for (const [i, { sources, output }] of own.entries()) {
    for (const source of new Set(sources)) linksAt[source]!.push(i); // a place
    linksInto[output]!.push(i); // a place
  }
  const pick = (values: Float64Array): Float64Array =>
    Float64Array.from(members, (source) => values[source]!); // members are sources
  const { needs, bounds, sizes } = steps;
  return {
    ...{ links: own, linksAt, linksInto },
    ...{ needs: pick(needs), bounds: pick(bounds), sizes: pick(sizes) },
  };
}

/**
 * Changes links, one after another and again, as long as the cost of all members falls. Only members whose
 * scale or rounding a change touches are looked at, so that a long stream costs little more than many
 * short ones; where the cost changes by so small a part that rounding could decide, all are.
 */
function improve(inForce: boolean[], problem: Problem): void {
  const { links, linksInto, bounds, sizes } = problem;
  const { scales, changesOf } = createSharedScales(inForce, problem);
  let whole: Cost = tryLinks(inForce, problem);

  const costAt = (member: number, scale: number): number => {
    const error = (scale / sizes[member]!) ** 2; // a member, as below
    let [isExact, cost] = [false, 0];
    for (const link of linksInto[member]!) {
      // A concatenation rounds for each input by itself.
      if (inForce[link] === true || links[link]!.kind === 'Concat') isExact = true;
      if (inForce[link] !== true && links[link]!.kind === 'Concat') cost += error;
    }
    return isExact ? cost : cost + error;
  };
  const costOf = (members: readonly number[], scaleOf: (place: number) => number): Cost => {
    let [cost, excess] = [0, 0];
    for (let place = 0; place < members.length; place += 1) {
      const member = members[place]!;
      cost += costAt(member, scaleOf(place));
      if (scaleOf(place) > bounds[member]!) excess += 1;
    }
    return { cost, excess };
  };
  /** Changes the link for good where that helps. */
  const tryChange = (i: number): boolean => {
    const { members, after } = changesOf(i);
    const old = costOf(members, (place) => scales[members[place]!]!);
    inForce[i] = inForce[i] !== true;
    const changed = costOf(members, (place) => after[place]!);
    const change = changed.cost - old.cost;
    const excess = whole.excess - old.excess + changed.excess;
    let helps = excess === 0;
    if (helps && whole.excess === 0 && Math.abs(change) > ROUNDING * whole.cost) {
      helps = change < 0;
      if (helps) whole = { cost: whole.cost + change, excess };
    } else if (helps) {
      const exact = tryLinks(inForce, problem);
      inForce[i] = !inForce[i];
      helps = exact.cost < tryLinks(inForce, problem).cost;
      inForce[i] = !inForce[i];
      if (helps) whole = exact;
    }
    if (!helps) {
      inForce[i] = !inForce[i];
      return false;
    }
    for (const [place, member] of members.entries()) scales[member] = after[place]!; // one each
    return true;
  };
  for (let isBetter = true; isBetter;) {
    isBetter = false;
    for (const i of inForce.keys()) if (tryChange(i)) isBetter = true;
  }
}

/** Share of a sum that its rounding to float64 stays below by far, of a million terms too. */
const ROUNDING = 1e-9;

interface Cost {
  /** Sum of the squared relative steps of every rounding. */
  readonly cost: number;
  /** How many members would have a scale larger than they may. */
  readonly excess: number;
}

interface Trial extends Cost {
  /** Infinite where a scale must not be that large. */
  readonly cost: number;
  readonly scales: Float64Array;
}

function tryLinks(inForce: readonly boolean[], problem: Problem): Trial {
  const { links, needs, bounds, sizes } = problem;
  const groups = createGroups(needs.length);
  for (let i = 0; i < links.length; i += 1) if (inForce[i] === true) groups.join(links[i]!.sources);
  // Every index below is a member's.
  const largest = new Float64Array(needs.length);
  for (let member = 0; member < needs.length; member += 1) {
    const root = groups.rootOf(member);
    largest[root] = Math.max(largest[root]!, needs[member]!);
  }
  const scales = needs.map((_, member) => largest[groups.rootOf(member)]!);
  const errorOf = (member: number): number => (scales[member]! / sizes[member]!) ** 2;
  const isExact = new Uint8Array(needs.length);
  let [cost, excess] = [0, 0];
  for (let i = 0; i < links.length; i += 1) {
    const { kind, output } = links[i]!;
    // A concatenation rounds for each input by itself.
    if (kind === 'Concat' || inForce[i] === true) isExact[output] = 1;
    if (kind === 'Concat' && inForce[i] !== true) cost += errorOf(output);
  }
  for (let member = 0; member < needs.length; member += 1) {
    if (isExact[member] === 0) cost += errorOf(member);
    if (scales[member]! > bounds[member]!) excess += 1;
  }
  return { cost: excess === 0 ? cost : Infinity, excess, scales };
}
