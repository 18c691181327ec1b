import { stat } from 'node:fs/promises';
import { hashFile } from '../data/download-file.ts';
import { InterruptedError } from '../diagnostics/errors.ts';
import { evenlySpaced } from '../numeric/evenly-spaced.ts';

/**
 * `count` evenly spaced ones of the files, or of those that are left once byte for byte copies of one of
 * `others` are taken out. Only what may be chosen is looked at, and only files of one length are read.
 * @throws InterruptedError
 */
export async function spacedWithoutCopies(
  files: readonly string[],
  count: number,
  others: readonly string[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const isCopy = copyFinder(others);
  const distinct = new Set<string>();
  let left = files;
  for (;;) {
    const chosen = evenlySpaced(left, count);
    const copies = new Set<string>();
    for (const file of chosen) {
      if (signal?.aborted === true) throw new InterruptedError();
      if (distinct.has(file)) continue;
      ((await isCopy(file)) ? copies : distinct).add(file);
    }
    if (copies.size === 0) return chosen;
    left = left.filter((file) => !copies.has(file)); // others take their places
  }
}

function copyFinder(files: readonly string[]): (file: string) => Promise<boolean> {
  let byLength: Map<number, string[]> | null = null;
  const digests = new Map<number, Promise<ReadonlySet<string>>>();
  return async (file) => {
    byLength ??= await groupByLength(files);
    const length = await lengthOf(file);
    const alike = length === null ? undefined : byLength.get(length);
    if (length === null || alike === undefined) return false;
    const known = digests.get(length) ?? digestsOf(alike);
    digests.set(length, known);
    const digest = await digestOf(file);
    return digest !== null && (await known).has(digest);
  };
}

async function groupByLength(files: readonly string[]): Promise<Map<number, string[]>> {
  const groups = new Map<number, string[]>();
  for (const file of files) {
    const length = await lengthOf(file);
    if (length === null) continue;
    const group = groups.get(length) ?? [];
    group.push(file);
    groups.set(length, group);
  }
  return groups;
}

async function digestsOf(files: readonly string[]): Promise<ReadonlySet<string>> {
  const digests = new Set<string>();
  for (const file of files) {
    const digest = await digestOf(file);
    if (digest !== null) digests.add(digest);
  }
  return digests;
}

/** Null for what cannot be read, here and below: whoever decodes it says why. */
async function lengthOf(file: string): Promise<number | null> {
  return stat(file).then(
    ({ size }) => size,
    () => null,
  );
}

async function digestOf(file: string): Promise<string | null> {
  return hashFile(file).catch(() => null);
}
