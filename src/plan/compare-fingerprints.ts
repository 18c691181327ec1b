import { ownValue } from '../diagnostics/own-value.ts';
import type { JsonObject, JsonValue } from '../pipeline/spec.ts';
import { canonicalJson, compareCodeUnits } from '../store/canonical-json.ts';
import type { LockedStage } from '../store/pipeline-lock.ts';
import type { RunReason } from './reason.ts';
import type { StageFingerprint } from './stage-key.ts';

/** What differs between what a stage was when it last ran and what it is now; never empty. */
export function compareFingerprints(
  locked: LockedStage,
  current: StageFingerprint,
): readonly RunReason[] {
  const reasons: RunReason[] = [];
  if (locked.kind !== current.kind) {
    reasons.push({ type: 'kind', before: locked.kind, after: current.kind });
  } else if (locked.version !== current.version) {
    reasons.push({ type: 'version', before: locked.version, after: current.version });
  }
  compareValues('', locked.parameters, current.parameters, reasons);
  compareInputs(locked.inputs, current.inputs, reasons);
  for (const [name, after] of Object.entries(current.runtimes)) {
    const before = ownValue(locked.runtimes, name) ?? 'unknown';
    if (before !== after) reasons.push({ type: 'runtime', name, before, after });
  }
  if (locked.source !== current.source) reasons.push({ type: 'source' });
  if (locked.machine !== current.machine) reasons.push({ type: 'machine' });
  if (reasons.length > 0) return reasons;
  // The lock file records no places of outputs the pipeline declares: all else is equal.
  return [{ type: current.outputs === undefined ? 'key-format' : 'declared-outputs' }];
}

function compareValues(
  path: string,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  reasons: RunReason[],
): void {
  if (isObject(before) && isObject(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    for (const name of [...names].sort(compareCodeUnits)) {
      const inner = path === '' ? name : `${path}.${name}`;
      compareValues(inner, ownValue(before, name), ownValue(after, name), reasons);
    }
  } else if (serialized(before) !== serialized(after)) {
    reasons.push({ type: 'parameter', path, before, after });
  }
}

function compareInputs(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
  reasons: RunReason[],
): void {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of [...names].sort(compareCodeUnits)) {
    const [was, is] = [ownValue(before, name), ownValue(after, name)];
    if (was === is) continue;
    const change = was === undefined ? 'new' : is === undefined ? 'gone' : 'changed';
    reasons.push({ type: 'input', name, change });
  }
}

function serialized(value: JsonValue | undefined): string {
  return value === undefined ? '' : canonicalJson(value);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
