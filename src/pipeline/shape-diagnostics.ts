import type { z } from 'zod';
import { nameHint, nearestName } from '../diagnostics/nearest-name.ts';
import { expectation, type Issue } from '../diagnostics/issue-wording.ts';
import { isWholeNumber, knownKeys } from './known-keys.ts';
import { receivedText, toPlain, type Located, type Origin } from './located.ts';
import type { Problems } from './problems.ts';

export interface ShapeCheck {
  readonly value: Located;
  readonly schema: z.ZodType;
  readonly problems: Problems;
  /** Where to point when something is missing at the top: the key the value belongs to. */
  readonly owner: Origin;
  /** How a message names the value at `path`: `stage "train": parameter "epochs"`. */
  readonly subject: (path: readonly PropertyKey[]) => string;
  /** Word for a key in `has no … "x"`, and the code's last part: `parameter`, `key`. */
  readonly keyWord: 'key' | 'parameter';
}

/**
 * Checks a located value against a schema and reports every issue at the place it was written.
 * Returns the parsed value, or undefined when there are issues or parts are unknown.
 */
export function checkShape(check: ShapeCheck): unknown {
  const result = check.schema.safeParse(toPlain(check.value) ?? null);
  if (result.success) return result.data;
  const issues = result.error.issues.flatMap((issue) => flatten(issue, []));
  const misspelled = new Set(issues.flatMap((each) => misspelledPaths(each, check)));
  for (const { issue, path } of issues) {
    // A misspelled key is one mistake, not an unknown key and a missing one.
    if (!misspelled.has(JSON.stringify(path)) || isPresent(check.value, path)) {
      reportIssue(issue, path, check);
    }
  }
  return undefined;
}

function isPresent(value: Located, path: readonly PropertyKey[]): boolean {
  return findPlace(value, path, value.origin).node !== undefined;
}

interface PlacedIssue {
  readonly issue: Issue;
  /** From the top of what is checked. */
  readonly path: readonly PropertyKey[];
}

/** The issue, or those inside it when it only wraps them. */
function flatten(issue: Issue, prefix: readonly PropertyKey[]): PlacedIssue[] {
  const path = [...prefix, ...issue.path];
  const inner =
    issue.code === 'invalid_union'
      ? bestBranch(issue)
      : issue.code === 'invalid_element'
        ? issue.issues
        : undefined;
  return inner === undefined ? [{ issue, path }] : inner.flatMap((each) => flatten(each, path));
}

/** Paths of keys that unknown ones were most likely meant for. */
function misspelledPaths({ issue, path }: PlacedIssue, { schema }: ShapeCheck): string[] {
  if (issue.code !== 'unrecognized_keys') return [];
  return issue.keys.flatMap((key) => {
    const meant = nearestName(key, knownKeys(schema, path));
    return meant === undefined ? [] : [JSON.stringify([...path, meant])];
  });
}

function reportIssue(issue: Issue, path: readonly PropertyKey[], check: ShapeCheck): void {
  const place = findPlace(check.value, path, check.owner);
  if (place.unknown) return;
  switch (issue.code) {
    case 'unrecognized_keys':
      for (const key of issue.keys) reportUnknownKey(key, path, check);
      return;
    case 'invalid_key':
      check.problems.add({
        code: 'pipeline/invalid-name',
        message: `the name "${String(path.at(-1))}" ${expectation(issue.issues[0] ?? issue)}`,
        origin: place.keyOrigin,
      });
      return;
    default:
      reportValue(issue, path, check, place);
  }
}

function reportUnknownKey(key: string, path: readonly PropertyKey[], check: ShapeCheck): void {
  const place = findPlace(check.value, [...path, key], check.owner);
  const within = check.subject(path);
  check.problems.add({
    code: `pipeline/unknown-${check.keyWord}`,
    message: `${within === '' ? 'a pipeline' : within} has no ${check.keyWord} "${key}"`,
    origin: place.keyOrigin,
    hint: nameHint(key, knownKeys(check.schema, path)),
  });
}

function reportValue(
  issue: Issue,
  path: readonly PropertyKey[],
  { subject, schema, problems, keyWord }: ShapeCheck,
  place: Place,
): void {
  const isWhole =
    issue.code === 'invalid_type' && issue.expected === 'number' && isWholeNumber(schema, path);
  const expected = isWhole ? 'must be a whole number' : expectation(issue);
  if (place.node === undefined) {
    problems.add({
      code: `pipeline/missing-${keyWord}`,
      message: `${subject(path)} is missing; it ${expected}`,
      origin: place.keyOrigin,
    });
    return;
  }
  const { node } = place;
  const options = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  const nearest =
    node.type === 'scalar' && typeof node.value === 'string'
      ? nearestName(node.value, options)
      : undefined;
  problems.add({
    code: 'pipeline/invalid-value',
    message: `${subject(path)} ${expected}, received ${receivedText(node)}`,
    origin: node.origin,
    ...(nearest === undefined ? {} : { hint: `did you mean "${nearest}"?` }),
  });
}

/**
 * Of a union's alternatives, the one the user most likely meant: it fails inside, not by its type.
 * Undefined when all fail at the top: then the union as a whole is what was expected.
 */
function bestBranch(issue: Issue & { code: 'invalid_union' }): readonly Issue[] | undefined {
  const inside = issue.errors.filter((branch) =>
    branch.every(
      (inner) =>
        inner.path.length > 0 ||
        (inner.code !== 'invalid_type' &&
          inner.code !== 'invalid_value' &&
          inner.code !== 'invalid_format'),
    ),
  );
  inside.sort((a, b) => a.length - b.length);
  return inside[0];
}

interface Place {
  /** Absent when nothing stands at the path. */
  readonly node: Located | undefined;
  /** The key at the path; where nothing stands, the nearest key above. */
  readonly keyOrigin: Origin;
  /** The path leads to or through a part that could not be made out. */
  readonly unknown: boolean;
}

function findPlace(root: Located, path: readonly PropertyKey[], owner: Origin): Place {
  let node: Located | undefined = root;
  let keyOrigin = owner;
  for (const step of path) {
    if (node?.type === 'unknown') return { node, keyOrigin, unknown: true };
    if (node?.type === 'map') {
      const entry = node.entries.get(String(step));
      node = entry?.value;
      keyOrigin = entry?.key ?? keyOrigin;
    } else if (node?.type === 'list') {
      node = node.items[Number(step)];
      keyOrigin = node?.origin ?? keyOrigin;
    } else {
      node = undefined;
    }
  }
  return { node, keyOrigin, unknown: node?.type === 'unknown' };
}
