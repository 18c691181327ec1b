import type { SourceRange } from '../diagnostics/diagnostic.ts';
import type { JsonValue } from './spec.ts';

/** Where a value or a key was written. */
export type Origin =
  | { readonly from: 'file'; readonly range: SourceRange }
  /** `option` is the whole option as typed: `--set vars.epochs=5`. */
  | { readonly from: 'command-line'; readonly option: string };

interface Common {
  readonly origin: Origin;
  /** Set when the value came in whole through `${…}`: `origin` is the place of use, `source` where it was written. */
  readonly via?: { readonly reference: string; readonly source: Origin };
}

export interface LocatedScalar extends Common {
  readonly type: 'scalar';
  readonly value: null | boolean | number | string;
}

export interface LocatedList extends Common {
  readonly type: 'list';
  readonly items: readonly Located[];
}

export interface LocatedEntry {
  readonly key: Origin;
  readonly value: Located;
}

export interface LocatedMap extends Common {
  readonly type: 'map';
  readonly entries: ReadonlyMap<string, LocatedEntry>;
}

/** A value that could not be made out and whose problem is already reported: nothing more is said of it. */
export interface LocatedUnknown extends Common {
  readonly type: 'unknown';
}

/** A YAML value whose every part knows where it was written; profiles, options and variables are merged on it. */
export type Located = LocatedScalar | LocatedList | LocatedMap | LocatedUnknown;

/** The bare value; unknown parts are left out (in lists: undefined). */
export function toPlain(located: Located): JsonValue | undefined {
  switch (located.type) {
    case 'scalar':
      return located.value;
    case 'list':
      // `undefined` in a list never passes a schema, and its issue is dropped by the place it has.
      return located.items.map(toPlain) as JsonValue[];
    case 'map': {
      const entries: [string, JsonValue][] = [];
      for (const [key, { value }] of located.entries) {
        const plain = toPlain(value);
        if (plain !== undefined) entries.push([key, plain]);
      }
      return Object.fromEntries(entries);
    }
    case 'unknown':
      return undefined;
  }
}

/** The entry's value, or undefined when `located` is no mapping or has no such key. */
export function child(located: Located | undefined, key: string): Located | undefined {
  return located?.type === 'map' ? located.entries.get(key)?.value : undefined;
}

/** The mapping under `key`, or undefined when there is none: the shape check has reported a wrong type. */
export function childMap(located: Located | undefined, key: string): LocatedMap | undefined {
  const value = child(located, key);
  return value?.type === 'map' ? value : undefined;
}

/** The entries of the mapping under `key`; none when it is absent or no mapping. */
export function childEntries(
  located: Located | undefined,
  key: string,
): ReadonlyMap<string, LocatedEntry> {
  return childMap(located, key)?.entries ?? new Map<string, LocatedEntry>();
}

/** The items of the list under `key`; none when it is absent or no list. */
export function childItems(located: Located | undefined, key: string): readonly Located[] {
  const value = child(located, key);
  return value?.type === 'list' ? value.items : [];
}

/** The text under `key`, or undefined when it is absent or no text. */
export function childText(located: Located | undefined, key: string): string | undefined {
  const value = child(located, key);
  return value?.type === 'scalar' && typeof value.value === 'string' ? value.value : undefined;
}

/** A copy of a mapping with `key` replaced or, at the end, added. */
export function withEntry(map: LocatedMap, key: string, entry: LocatedEntry): LocatedMap {
  return { ...map, entries: new Map([...map.entries, [key, entry]]) };
}

/** True when some part of the value is unknown. */
export function hasUnknown(located: Located): boolean {
  if (located.type === 'list') return located.items.some(hasUnknown);
  if (located.type === 'map')
    return [...located.entries.values()].some(({ value }) => hasUnknown(value));
  return located.type === 'unknown';
}

/** What a message says was received: scalars as JSON, the rest by its type. */
export function receivedText(located: Located): string {
  const text =
    located.type === 'scalar'
      ? typeof located.value === 'number'
        ? String(located.value)
        : JSON.stringify(located.value)
      : located.type === 'list'
        ? 'a list'
        : 'a mapping';
  return located.via === undefined ? text : `${text} (from ${located.via.reference})`;
}
