import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../runtime/package-root.ts';

/**
 * Version of an installed library, from its package.json: nothing is loaded, because a key must be
 * had in milliseconds. `missing` when it is not installed; such a stage fails when it runs.
 */
export function installedVersion(packageName: string): string {
  const known = versions.get(packageName);
  if (known !== undefined) return known;
  const version = lookUp(packageName);
  versions.set(packageName, version);
  return version;
}

/** Installed packages do not change while a process runs. */
const versions = new Map<string, string>();

/** drq's own version. */
export function drqVersion(): string {
  return versionIn(join(packageRoot(), 'package.json')) ?? 'unknown';
}

function lookUp(packageName: string): string {
  // Node's own search, upwards through node_modules; `exports` would hide the file from `resolve`.
  for (let folder = packageRoot(); ; folder = dirname(folder)) {
    const version = versionIn(join(folder, 'node_modules', packageName, 'package.json'));
    if (version !== null) return version;
    if (folder === dirname(folder)) return 'missing';
  }
}

function versionIn(path: string): string | null {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null; // not there: the next folder up may have it
  }
  if (typeof json !== 'object' || json === null || !('version' in json)) return null;
  return typeof json.version === 'string' ? json.version : null;
}
