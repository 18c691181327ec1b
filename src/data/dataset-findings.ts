import type { Split } from './dataset-index.ts';
import { compareCodeUnits } from './natural-order.ts';

export type FindingKind =
  'unreadable' | 'duplicate' | 'label-conflict' | 'leak' | 'near-duplicate' | 'small-class';

export type FindingAction = 'error' | 'exclude' | 'warn';

/** Something about the images a user should know. */
export interface Finding {
  readonly kind: FindingKind;
  /** What was found, with the images' ids. */
  readonly message: string;
  /** What followed from it. */
  readonly action: FindingAction;
}

export interface FindingPolicy {
  readonly unreadable: FindingAction;
  readonly duplicates: FindingAction;
  readonly labelConflicts: FindingAction;
  readonly leaks: FindingAction;
}

/** A photograph after it was opened. */
export interface CheckedImage {
  readonly id: string;
  readonly className: string;
  readonly split?: Split;
  readonly group?: string;
  readonly sha256: string;
  /** Why it cannot be used; absent for a good one. */
  readonly problem?: string;
}

export interface FindingsResult<Image> {
  readonly kept: readonly Image[];
  readonly findings: readonly Finding[];
}

/** Which copy of a leaked image stays: the one that would make the test figures wrong must not go. */
const SPLIT_PRECEDENCE: readonly Split[] = ['test', 'validation', 'train'];

/**
 * Finds unreadable images, byte-identical ones, those among them with different labels or in
 * different splits, and groups in several splits, and drops what the policy excludes.
 */
export function findProblems<Image extends CheckedImage>(
  images: readonly Image[],
  policy: FindingPolicy,
): FindingsResult<Image> {
  const sorted = [...images].sort((a, b) => compareCodeUnits(a.id, b.id));
  const excluded = new Set<string>();
  const findings: Finding[] = [];
  const report = (finding: Finding, dropped: readonly Image[]): void => {
    findings.push(finding);
    if (finding.action === 'exclude') for (const { id } of dropped) excluded.add(id);
  };
  // One that cannot be read cannot be kept: a warning leaves it out too.
  const action = policy.unreadable === 'error' ? 'error' : 'exclude';
  for (const image of sorted) {
    if (image.problem === undefined) continue;
    report({ kind: 'unreadable', message: image.problem, action }, [image]);
  }
  const readable = sorted.filter((image) => image.problem === undefined);
  for (const same of partition(readable, (image) => image.sha256)) {
    reportLabelConflict(same, policy, report);
    reportLeak(same, 'the same photograph', policy, report);
    reportDuplicates(same, policy, report);
  }
  for (const members of partition(readable, (image) => image.group)) {
    const group = members[0]?.group ?? '';
    reportLeak(members, `group ${group}`, policy, report);
  }
  const kept = sorted.filter((image) => !excluded.has(image.id) && image.problem === undefined);
  return { kept, findings };
}

type Report<Image> = (finding: Finding, dropped: readonly Image[]) => void;

function reportLabelConflict<Image extends CheckedImage>(
  same: readonly Image[],
  policy: FindingPolicy,
  report: Report<Image>,
): void {
  if (new Set(same.map((image) => image.className)).size < 2) return;
  // A published test set stays as it is, or figures on it could not be compared.
  const dropped = same.filter((image) => image.split !== 'test');
  report(
    {
      kind: 'label-conflict',
      message: `the same photograph has different labels: ${listWithClass(same)}`,
      action: demoteWhenNothingGoes(policy.labelConflicts, dropped),
    },
    dropped,
  );
}

function reportLeak<Image extends CheckedImage>(
  members: readonly Image[],
  what: string,
  policy: FindingPolicy,
  report: Report<Image>,
): void {
  const splits = new Set(members.map((image) => image.split));
  if (splits.size < 2) return;
  const keptSplit = SPLIT_PRECEDENCE.find((split) => splits.has(split));
  const dropped = members.filter((image) => image.split !== keptSplit);
  report(
    {
      kind: 'leak',
      message: `${what} stands in several splits: ${members.map((image) => image.id).join(', ')}`,
      action: policy.leaks,
    },
    dropped,
  );
}

function reportDuplicates<Image extends CheckedImage>(
  same: readonly Image[],
  policy: FindingPolicy,
  report: Report<Image>,
): void {
  const alike = partition(same, (image) => `${image.split ?? ''}/${image.className}`);
  for (const duplicates of alike) {
    report(
      {
        kind: 'duplicate',
        message: `byte-identical: ${duplicates.map((image) => image.id).join(', ')}`,
        action: policy.duplicates,
      },
      duplicates.slice(1),
    );
  }
}

function demoteWhenNothingGoes(action: FindingAction, dropped: readonly unknown[]): FindingAction {
  return action === 'exclude' && dropped.length === 0 ? 'warn' : action;
}

/** Sets of two and more images with the same key; images without a key stand alone. */
function partition<Image>(
  images: readonly Image[],
  keyOf: (image: Image) => string | undefined,
): Image[][] {
  const byKey = new Map<string, Image[]>();
  for (const image of images) {
    const key = keyOf(image);
    if (key === undefined) continue;
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, [image]);
    else known.push(image);
  }
  return [...byKey.values()].filter((members) => members.length > 1);
}

function listWithClass(images: readonly CheckedImage[]): string {
  return images.map((image) => `${image.id} (${image.className})`).join(', ');
}
