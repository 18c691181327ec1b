import { nameHint } from '../diagnostics/nearest-name.ts';
import {
  child,
  childEntries,
  withEntry,
  type Located,
  type LocatedMap,
  type Origin,
} from './located.ts';
import { parseOptionValue } from './pipeline-file.ts';
import type { Problems } from './problems.ts';

const SETTABLE = ['parameters', 'inputs', 'matrix', 'resources'];

/** The pipeline with `--set PATH=VALUE` applied; unchanged, and reported, when the option is wrong. */
export function applySet(root: LocatedMap, text: string, problems: Problems): LocatedMap {
  const origin: Origin = { from: 'command-line', option: `--set ${text}` };
  const refuse = (code: string, message: string, hint: string | undefined): LocatedMap => {
    problems.add({ code, message, origin, hint });
    return root;
  };
  const equals = text.indexOf('=');
  const path = text.slice(0, equals).trim().split('.');
  if (equals === -1 || path.includes('')) {
    return refuse(
      'pipeline/invalid-set',
      'must be PATH=VALUE',
      'for instance --set vars.epochs=5 or --set stages.train.parameters.batchSize=16',
    );
  }
  const parsed = parseOptionValue(text.slice(equals + 1), origin);
  if ('reason' in parsed) {
    return refuse('pipeline/invalid-set', `the value is ${parsed.reason}`, 'quote it: "…"');
  }
  const [section, name, field] = path;
  if (section !== 'vars' && section !== 'stages') {
    return refuse(
      'pipeline/invalid-set',
      `"${section ?? ''}" cannot be set; the path must begin with vars or stages`,
      nameHint(section ?? '', ['vars', 'stages']),
    );
  }
  const names = childEntries(root, section);
  if (name === undefined || !names.has(name)) {
    const word = section === 'vars' ? 'var' : 'stage';
    const hint = nameHint(name ?? '', names.keys());
    return refuse(`pipeline/unknown-${word}`, `there is no ${word} "${name ?? ''}"`, hint);
  }
  if (section === 'vars' && path.length > 2) {
    return refuse('pipeline/invalid-set', `var "${name}" has no parts`, `--set vars.${name}=…`);
  }
  if (
    section === 'stages' &&
    (field === undefined || path.length < 4 || !SETTABLE.includes(field))
  ) {
    const message = `of a stage, only ${SETTABLE.map((each) => `${each}.NAME`).join(', ')} can be set`;
    return refuse('pipeline/invalid-set', message, nameHint(field ?? '', SETTABLE));
  }
  return setAt(root, path, parsed.value, origin);
}

function setAt(
  map: LocatedMap,
  path: readonly string[],
  value: Located,
  origin: Origin,
): LocatedMap {
  const [step, ...rest] = path;
  if (step === undefined) return map;
  if (rest.length === 0) return withEntry(map, step, { key: origin, value });
  const old = child(map, step);
  const inner: LocatedMap = old?.type === 'map' ? old : { type: 'map', entries: new Map(), origin };
  const key = old === undefined ? origin : (map.entries.get(step)?.key ?? origin);
  return withEntry(map, step, { key, value: setAt(inner, rest, value, origin) });
}
