import { nameHint } from '../diagnostics/nearest-name.ts';
import {
  childEntries,
  childMap,
  type Located,
  type LocatedEntry,
  type LocatedMap,
} from './located.ts';
import type { Problems } from './problems.ts';
import { reportUnknownNames } from './resolve-vars.ts';

/** Reports vars and stages that profiles change but the pipeline does not have. */
export function checkProfiles(root: LocatedMap, problems: Problems): void {
  for (const [profile, { value }] of childEntries(root, 'profiles')) {
    for (const [section, word] of [
      ['vars', 'var'],
      ['stages', 'stage'],
    ] as const) {
      const overlay = childEntries(value, section);
      reportUnknownNames(overlay, childEntries(root, section), { word, profile }, problems);
    }
  }
}

/** The pipeline with the profile laid over it; unchanged, and reported, when there is no such profile. */
export function applyProfile(root: LocatedMap, profile: string, problems: Problems): LocatedMap {
  const profiles = childEntries(root, 'profiles');
  const chosen = profiles.get(profile)?.value;
  if (chosen === undefined) {
    problems.add({
      code: 'pipeline/unknown-profile',
      message: `the pipeline has no profile "${profile}"`,
      origin: { from: 'command-line', option: `--profile ${profile}` },
      hint:
        nameHint(profile, profiles.keys()) ??
        (profiles.size === 0 ? 'the pipeline has no profiles' : undefined),
    });
    return root;
  }
  let merged = root;
  for (const section of ['vars', 'stages']) {
    const base = childMap(root, section);
    const over = childMap(chosen, section);
    if (base === undefined || over === undefined) continue;
    const known = new Map([...over.entries].filter(([name]) => base.entries.has(name)));
    const value = mergeDeep(base, { ...over, entries: known });
    merged = {
      ...merged,
      entries: new Map(merged.entries).set(section, withKey(root, section, value)),
    };
  }
  return merged;
}

function withKey(root: LocatedMap, section: string, value: Located): LocatedEntry {
  return { key: root.entries.get(section)?.key ?? root.origin, value };
}

/** Mappings are merged key by key; everything else, lists too, is replaced. */
function mergeDeep(base: Located, over: Located): Located {
  if (base.type !== 'map' || over.type !== 'map') return over;
  const entries = new Map(base.entries);
  for (const [name, entry] of over.entries) {
    const old = entries.get(name);
    const bothMaps = old?.value.type === 'map' && entry.value.type === 'map';
    entries.set(
      name,
      bothMaps ? { key: old.key, value: mergeDeep(old.value, entry.value) } : entry,
    );
  }
  return { ...base, entries };
}
