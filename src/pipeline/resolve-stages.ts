import { dirname, resolve } from 'node:path';
import { nameHint } from '../diagnostics/nearest-name.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';
import { child, childEntries, type Located, type LocatedMap } from './located.ts';
import { loadOwnKind, type OwnKind, type UnusableKind } from './own-kind.ts';
import type { Problems } from './problems.ts';
import { OWN_KIND_PATTERN } from './schema.ts';
import type { StageSpec } from './stage-spec.ts';

/** Module name as the pipeline has it → what loading it gave. */
export type OwnKinds = ReadonlyMap<string, OwnKind | UnusableKind>;

/** Loads every module that a stage names as its kind. */
export async function loadOwnKinds(root: LocatedMap, filePath: string): Promise<OwnKinds> {
  const loaded = new Map<string, OwnKind | UnusableKind>();
  for (const { value } of childEntries(root, 'stages').values()) {
    const kind = kindOf(value);
    if (kind === undefined || loaded.has(kind) || !OWN_KIND_PATTERN.test(kind)) continue;
    loaded.set(kind, await loadOwnKind(resolve(dirname(filePath), kind)));
  }
  return loaded;
}

/** The stages with their kinds found; an unknown kind is reported and left undefined. */
export function resolveStages(
  root: LocatedMap,
  registry: ReadonlyMap<string, AnyStageDefinition>,
  ownKinds: OwnKinds,
  problems: Problems,
): ReadonlyMap<string, StageSpec> {
  const stages = new Map<string, StageSpec>();
  for (const [name, { key, value }] of childEntries(root, 'stages')) {
    if (value.type !== 'map') continue;
    const kind = kindOf(value);
    const own = kind === undefined ? undefined : ownKinds.get(kind);
    const loaded = own !== undefined && 'definition' in own ? own : undefined;
    const definition = loaded?.definition ?? (kind === undefined ? undefined : registry.get(kind));
    const ownKind =
      loaded === undefined
        ? undefined
        : { modulePath: loaded.modulePath, sourceDigest: loaded.sourceDigest };
    stages.set(name, { name, key, body: value, definition, ownKind });
    const kindNode = child(value, 'kind');
    if (definition !== undefined || kind === undefined || kindNode === undefined) continue;
    if (own !== undefined && 'reason' in own) {
      problems.add({
        code: 'pipeline/invalid-kind',
        message: `stage "${name}": ${own.reason}`,
        origin: kindNode.origin,
        hint: own.hint,
      });
    } else if (/^\.{1,2}\//.test(kind)) {
      problems.add({
        code: 'pipeline/invalid-kind',
        message: `stage "${name}": a module of your own must be .mjs or .js, received "${kind}"`,
        origin: kindNode.origin,
        hint: /\.[cm]?tsx?$/.test(kind)
          ? 'compile TypeScript first, and name the .js file that comes out'
          : 'name the module with its ending, ./NAME.mjs or ./NAME.js, relative to the pipeline',
      });
    } else {
      problems.add({
        code: 'pipeline/unknown-kind',
        message: `stage "${name}": there is no stage kind "${kind}"`,
        origin: kindNode.origin,
        hint:
          nameHint(kind, registry.keys()) ??
          'a kind of your own is written ./NAME.js, relative to the pipeline',
      });
    }
  }
  return stages;
}

function kindOf(stage: Located): string | undefined {
  const kind = child(stage, 'kind');
  return kind?.type === 'scalar' && typeof kind.value === 'string' ? kind.value : undefined;
}
