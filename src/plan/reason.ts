import type { JsonValue } from '../pipeline/spec.ts';
import { shortenList } from '../diagnostics/shorten-list.ts';

/** Why a stage runs or is restored. Data, so that `drq why` can show all of it. */
export type RunReason =
  | { readonly type: 'never-run' }
  /** Left by a run that was interrupted or failed. */
  | { readonly type: 'checkpoint' }
  | { readonly type: 'forced' }
  | {
      readonly type: 'parameter';
      readonly path: string;
      /** Undefined: there was, or is, none. */
      readonly before: JsonValue | undefined;
      readonly after: JsonValue | undefined;
    }
  | { readonly type: 'input'; readonly name: string; readonly change: 'changed' | 'new' | 'gone' }
  | { readonly type: 'kind'; readonly before: string; readonly after: string }
  | { readonly type: 'version'; readonly before: number; readonly after: number }
  | {
      readonly type: 'runtime';
      readonly name: string;
      readonly before: string;
      readonly after: string;
    }
  | { readonly type: 'source' }
  | { readonly type: 'machine' }
  | { readonly type: 'declared-outputs' }
  /** Nothing recorded differs, but the key does: its form or something unrecorded changed. */
  | { readonly type: 'key-format' }
  | { readonly type: 'not-stored' }
  | {
      readonly type: 'stored-output';
      readonly name: string;
      readonly state: 'missing' | 'damaged';
      /** A file inside a folder output, or ''. */
      readonly place: string;
    }
  | { readonly type: 'stored-result-damaged' }
  | { readonly type: 'not-locked' }
  /** It has the stage's key, but other outputs or metrics. */
  | { readonly type: 'lock-differs' }
  | {
      readonly type: 'working-copy';
      readonly name: string;
      readonly state: 'missing' | 'changed';
    };

/** How many reasons a line shows; `drq why` shows all. */
const SHOWN = 3;

/** Reasons in one line: `parameters.epochs 5 → 10, input model changed`. */
export function describeReasons(reasons: readonly RunReason[]): string {
  return shortenList(reasons.map(describeReason), SHOWN);
}

export function describeReason(reason: RunReason): string {
  switch (reason.type) {
    case 'never-run':
      return 'never run';
    case 'checkpoint':
      return 'an earlier run left a checkpoint to go on from';
    case 'forced':
      return 'forced';
    case 'parameter':
      return describeParameter(reason.path, reason.before, reason.after);
    case 'input':
      return `input ${reason.name} ${reason.change === 'gone' ? 'is no longer given' : reason.change === 'new' ? 'is new' : 'changed'}`;
    case 'kind':
      return `kind ${reason.before} → ${reason.after}`;
    case 'version':
      return `kind version ${reason.before} → ${reason.after}`;
    case 'runtime':
      return `${reason.name} ${reason.before} → ${reason.after}`;
    case 'source':
      return 'source of the stage kind changed';
    case 'machine':
      return 'machine changed';
    case 'declared-outputs':
      return 'declared outputs changed';
    case 'key-format':
      return 'form of keys changed';
    case 'not-stored':
      return 'no stored result on this machine';
    case 'stored-output':
      return `stored output ${reason.name}${reason.place === '' ? '' : `/${reason.place}`} is ${reason.state}`;
    case 'stored-result-damaged':
      return 'stored result is damaged';
    case 'not-locked':
      return 'stored result found, not in the lock file';
    case 'lock-differs':
      return 'the lock file has other outputs or metrics than the stored result';
    case 'working-copy':
      return `output ${reason.name} ${reason.state === 'missing' ? 'is missing' : 'was changed'}`;
    default:
      return reason satisfies never;
  }
}

function describeParameter(
  path: string,
  before: JsonValue | undefined,
  after: JsonValue | undefined,
): string {
  if (before === undefined) return `parameters.${path} set to ${shorten(after)}`;
  if (after === undefined) return `parameters.${path} ${shorten(before)} removed`;
  return `parameters.${path} ${shorten(before)} → ${shorten(after)}`;
}

function shorten(value: JsonValue | undefined): string {
  const text = typeof value === 'string' && value !== '' ? value : JSON.stringify(value ?? null);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
