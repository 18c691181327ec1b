import type { Problem } from './search-links.ts';

/** The scales of a component's members while its links are changed. */
export interface SharedScales {
  /** Of each member, with the links in force at the last change; the caller writes what it accepts. */
  readonly scales: Float64Array;
  readonly changesOf: (link: number) => ScaleChanges;
}

/** Members that a change of a link touches, its output always, and their scales after it. */
export interface ScaleChanges {
  readonly members: readonly number[];
  readonly after: readonly number[];
}

/**
 * Follows which members share a scale, the largest that one of them needs. A link that is taken back is
 * searched from all its ends in turns until no more than one search goes on: what that one would find
 * keeps its scale, unless the largest need lies in a part that was cut off.
 */
export function createSharedScales(inForce: boolean[], problem: Problem): SharedScales {
  const { links, needs } = problem;
  const walks = createWalks(inForce, problem);
  const scales = needs.slice();
  const largestOf = (members: readonly number[]): number =>
    members.reduce((largest, member) => Math.max(largest, needs[member]!), 0); // all are members
  for (const group of walks.groups()) {
    const largest = largestOf(group);
    for (const member of group) scales[member] = largest;
  }

  /** The scale of all ends, for those that have a smaller one. */
  const joined = (sources: readonly number[]): ScaleChanges => {
    const scale = sources.reduce((largest, source) => Math.max(largest, scales[source]!), 0);
    const members = walks.from(sources.filter((source) => scales[source]! < scale));
    return { members, after: members.map(() => scale) };
  };
  const parted = (sources: readonly number[]): ScaleChanges => {
    const scale = scales[sources[0]!]!; // a link has sources, and in force one scale for all
    const { parts, rest } = walks.apart(sources);
    const found = parts.map((part) => ({ part, largest: largestOf(part) }));
    if (rest !== undefined && found.some(({ largest }) => largest === scale)) {
      const part = walks.from([rest]);
      found.push({ part, largest: largestOf(part) });
    }
    const changed = found.filter(({ largest }) => largest < scale);
    return {
      members: changed.flatMap(({ part }) => part),
      after: changed.flatMap(({ part, largest }) => part.map(() => largest)),
    };
  };
  return {
    scales,
    changesOf: (link) => {
      const { sources, output } = links[link]!; // one of them
      const wasInForce = inForce[link] === true;
      inForce[link] = false; // for the walks
      const { members, after } = wasInForce ? parted(sources) : joined(sources);
      inForce[link] = wasInForce;
      if (members.includes(output)) return { members, after };
      return { members: [...members, output], after: [...after, scales[output]!] };
    },
  };
}

interface Walks {
  /** All members, those together that links in force connect. */
  readonly groups: () => number[][];
  /** What links in force connect with the starts. */
  readonly from: (starts: readonly number[]) => number[];
  /** The starts' groups but for the one that takes longest to walk, of which `rest` is a member. */
  readonly apart: (starts: readonly number[]) => {
    readonly parts: readonly number[][];
    readonly rest: number | undefined;
  };
}

/** Looks at `inForce` as it is at each call. */
function createWalks(inForce: readonly boolean[], { links, linksAt, needs }: Problem): Walks {
  // Every index is a member's or a link's; 0 is no walk, and each start of a walk has a number of its own.
  const walkedBy = new Int32Array(needs.length);
  let lastWalk = 0;
  /** Calls `visit` with all that one link in force connects with the member. */
  const eachBeside = (member: number, visit: (source: number) => void): void => {
    for (const link of linksAt[member]!) {
      if (inForce[link] === true) for (const source of links[link]!.sources) visit(source);
    }
  };
  const grow = (region: number[], walk: number, first: number): void => {
    // The region grows while it is walked.
    for (let next = first; next < region.length; next += 1) {
      eachBeside(region[next]!, (source) => {
        if (walkedBy[source] === walk) return;
        walkedBy[source] = walk;
        region.push(source);
      });
    }
  };
  const from = (starts: readonly number[]): number[] => {
    const region: number[] = [];
    lastWalk += 1;
    for (const start of starts) {
      if (walkedBy[start] === lastWalk) continue;
      walkedBy[start] = lastWalk;
      grow(region, lastWalk, region.push(start) - 1);
    }
    return region;
  };
  return {
    from,
    groups: () => {
      const seen = new Uint8Array(needs.length);
      return Array.from(needs.keys()).flatMap((member) => {
        if (seen[member] === 1) return [];
        const group = from([member]);
        for (const other of group) seen[other] = 1;
        return [group];
      });
    },
    apart: (starts) => {
      const first = lastWalk + 1;
      const searches = [...new Set(starts)].map((start) => {
        lastWalk += 1;
        walkedBy[start] = lastWalk;
        return { region: [start], next: 0, met: lastWalk };
      });
      const meet = (a: number, b: number): void => {
        for (const search of searches) if (search.met === b) search.met = a;
      };
      /** Numbers of those that have met and go on. */
      const open = (): Set<number> =>
        new Set(searches.flatMap(({ region, next, met }) => (next < region.length ? met : [])));
      let going = open();
      while (going.size > 1) {
        let areAsBefore = true;
        for (let i = 0; i < searches.length; i += 1) {
          const search = searches[i]!;
          const member = search.region[search.next];
          if (member === undefined) continue;
          search.next += 1;
          eachBeside(member, (source) => {
            const walk = walkedBy[source]!;
            if (walk < first) {
              walkedBy[source] = first + i;
              search.region.push(source);
            } else if (searches[walk - first]!.met !== search.met) {
              meet(search.met, searches[walk - first]!.met);
              areAsBefore = false;
            }
          });
          if (search.next === search.region.length) areAsBefore = false;
        }
        if (!areAsBefore) going = open();
      }
      const [rest] = going;
      const closed = new Set(searches.map(({ met }) => met).filter((met) => met !== rest));
      return {
        parts: [...closed].map((met) =>
          searches.flatMap((search) => (search.met === met ? search.region : [])),
        ),
        rest: searches.find(({ met }) => met === rest)?.region[0],
      };
    },
  };
}
