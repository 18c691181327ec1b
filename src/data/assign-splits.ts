import { createRandom, shuffled } from '../numeric/random.ts';
import { SPLITS, type Split } from './dataset-index.ts';
import { compareCodeUnits } from './natural-order.ts';

export interface SplitRequest {
  readonly images: readonly {
    readonly id: string;
    readonly label: number;
    /** Images that share a tie, directly or by way of others, stay in one split. */
    readonly ties: readonly string[];
  }[];
  /** Splits to fill and their shares; they sum to 1. */
  readonly fractions: Readonly<Partial<Record<Split, number>>>;
  readonly seed: number;
}

interface Unit {
  readonly ids: string[];
  readonly countByLabel: Map<number, number>;
}

/**
 * A split for every image, stratified by label: each class is shared out in the given fractions, as
 * nearly as groups allow. The same images and seed give the same splits, in whatever order they come.
 */
export function assignSplits(request: SplitRequest): Map<string, Split> {
  const { fractions, seed } = request;
  const units = shuffled(groupUnits(request.images), createRandom(seed, 'splits'));
  // Large groups first, while there is room to even them out; the sort is stable.
  units.sort((a, b) => b.ids.length - a.ids.length);
  const room = countRoom(units, fractions);
  const result = new Map<string, Split>();
  for (const unit of units) {
    const split = roomiest(unit, room);
    for (const [label, count] of unit.countByLabel) {
      const ofSplit = room.get(split)!; // roomiest chose among the keys of room
      ofSplit.set(label, (ofSplit.get(label) ?? 0) - count);
    }
    for (const id of unit.ids) result.set(id, split);
  }
  return result;
}

/** Connected sets of images, in the order of their first id. */
function groupUnits(images: SplitRequest['images']): Unit[] {
  const sorted = [...images].sort((a, b) => compareCodeUnits(a.id, b.id));
  const parent = sorted.map((_, i) => i);
  const rootOf = (i: number): number => {
    let root = i;
    while (parent[root] !== root) root = parent[root]!; // parents are indices of the same array
    parent[i] = root;
    return root;
  };
  const firstWithTie = new Map<string, number>();
  for (const [i, { ties }] of sorted.entries()) {
    for (const tie of ties) {
      const first = firstWithTie.get(tie);
      if (first === undefined) firstWithTie.set(tie, i);
      else parent[Math.max(rootOf(i), rootOf(first))] = Math.min(rootOf(i), rootOf(first));
    }
  }
  const units = new Map<number, Unit>();
  for (const [i, { id, label }] of sorted.entries()) {
    const root = rootOf(i);
    const unit = units.get(root) ?? { ids: [], countByLabel: new Map<number, number>() };
    unit.ids.push(id);
    unit.countByLabel.set(label, (unit.countByLabel.get(label) ?? 0) + 1);
    units.set(root, unit);
  }
  return [...units.values()];
}

/** How many images of each label each split shall get; whole numbers that sum to the class's count. */
function countRoom(
  units: readonly Unit[],
  fractions: SplitRequest['fractions'],
): Map<Split, Map<number, number>> {
  const totals = new Map<number, number>();
  for (const { countByLabel } of units) {
    for (const [label, count] of countByLabel) totals.set(label, (totals.get(label) ?? 0) + count);
  }
  const splits = SPLITS.filter((split) => (fractions[split] ?? 0) > 0);
  const room = new Map(splits.map((split) => [split, new Map<number, number>()]));
  for (const [label, total] of totals) {
    let left = total;
    // Validation and test are rounded; the first split takes the rest.
    for (const split of splits.slice(1)) {
      const count = Math.min(left, Math.round(total * fractions[split]!)); // filtered to > 0
      room.get(split)!.set(label, count);
      left -= count;
    }
    room.get(splits[0]!)?.set(label, left);
  }
  return room;
}

/** The split that lacks most of what the unit brings, relative to the unit; ties go to the earlier. */
function roomiest(unit: Unit, room: ReadonlyMap<Split, ReadonlyMap<number, number>>): Split {
  let best: Split | undefined;
  let most = -Infinity;
  for (const [split, ofSplit] of room) {
    let need = 0;
    for (const [label, count] of unit.countByLabel) need += (ofSplit.get(label) ?? 0) * count;
    if (need > most) {
      most = need;
      best = split;
    }
  }
  return best ?? 'train';
}
