import { nameHint } from '../diagnostics/nearest-name.ts';
import { interpolate } from './interpolate.ts';
import type { Located, LocatedEntry } from './located.ts';
import type { Problems } from './problems.ts';
import { parseTemplate } from './template.ts';

/** Every var with the vars it refers to put in; one that cannot be made out is reported and unknown. */
export function resolveVars(
  vars: ReadonlyMap<string, LocatedEntry>,
  problems: Problems,
): ReadonlyMap<string, Located> {
  const resolved = new Map<string, Located>();
  const open: string[] = [];

  const resolve = (name: string, { key, value }: LocatedEntry): void => {
    if (resolved.has(name)) return;
    open.push(name);
    let cyclic = false;
    for (const used of varsUsedIn(value)) {
      const entry = vars.get(used);
      if (entry === undefined) continue;
      const start = open.indexOf(used);
      if (start === -1) {
        resolve(used, entry);
        continue;
      }
      cyclic = true;
      problems.add({
        code: 'pipeline/cycle',
        message: `vars refer to each other in a circle: ${[...open.slice(start), used].join(' → ')}`,
        origin: problems.narrow(value.origin, `\${vars.${used}}`),
      });
    }
    open.pop();
    const unknown: Located = { type: 'unknown', origin: key };
    if (cyclic) {
      resolved.set(name, unknown);
      return;
    }
    // A var of the cycle that is still open stands as unknown: its cycle is reported once.
    const known = new Map<string, Located>(
      [...vars.keys()].map((each) => [each, resolved.get(each) ?? unknown]),
    );
    resolved.set(name, interpolate(value, { vars: known, matrix: 'not-here' }, problems));
  };
  for (const [name, entry] of vars) resolve(name, entry);
  // In the order of the file, whatever order they were needed in.
  return new Map(
    [...vars.keys()].flatMap((name) => {
      const value = resolved.get(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function varsUsedIn(value: Located): string[] {
  if (value.type === 'list') return value.items.flatMap(varsUsedIn);
  if (value.type !== 'scalar' || typeof value.value !== 'string') return [];
  return parseTemplate(value.value).flatMap((part) =>
    part.type === 'reference' && part.namespace === 'vars' ? [part.name] : [],
  );
}

/** Reports names laid over `known` by a profile that `known` does not have. */
export function reportUnknownNames(
  overlay: ReadonlyMap<string, LocatedEntry>,
  known: ReadonlyMap<string, LocatedEntry>,
  what: { readonly word: 'var' | 'stage'; readonly profile: string },
  problems: Problems,
): void {
  for (const [name, { key }] of overlay) {
    if (known.has(name)) continue;
    problems.add({
      code: `pipeline/unknown-${what.word}`,
      message: `profile "${what.profile}": there is no ${what.word} "${name}"`,
      origin: key,
      hint: nameHint(name, known.keys()),
    });
  }
}
