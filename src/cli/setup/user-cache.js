import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir, hostname, tmpdir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import process from 'node:process';

const PARTIAL_PREFIX = 'partial-';
const ABANDONED_AFTER_MS = 24 * 3600 * 1000;

/** The folder shared by all checkouts of one user. */
export function userCacheFolder() {
  // The XDG specification says that a relative XDG_CACHE_HOME is to be ignored.
  const base = process.env['XDG_CACHE_HOME'];
  return join(base !== undefined && isAbsolute(base) ? base : join(homeFolder(), '.cache'), 'drq');
}

/** HOME may be empty and the user without an entry, as in containers: then nothing is shared for long. */
function homeFolder() {
  for (const place of [homedir, () => userInfo().homedir]) {
    try {
      const home = place();
      if (isAbsolute(home)) return home;
    } catch {
      // the next place, then
    }
  }
  return tmpdir();
}

/**
 * Fills a folder of the cache aside and renames it into place, so that no reader and no later
 * set-up ever sees half of it. Two set-ups at once are fine: the second one's copy is dropped.
 */
export async function fillCacheFolder(name, fill) {
  const cache = userCacheFolder();
  mkdirSync(cache, { recursive: true });
  removeAbandoned(cache);
  const target = join(cache, name);
  const aside = join(cache, `${PARTIAL_PREFIX}${hostname()}-${process.pid}-${name}`);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside);
  try {
    await fill(aside);
    try {
      renameSync(aside, target);
    } catch (error) {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    }
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return target;
}

/** Removes what killed set-ups left behind. */
function removeAbandoned(cache) {
  const ours = `${PARTIAL_PREFIX}${hostname()}-`;
  for (const name of readdirSync(cache)) {
    if (!name.startsWith(PARTIAL_PREFIX)) continue;
    const path = join(cache, name);
    const pid = name.startsWith(ours) ? Number.parseInt(name.slice(ours.length), 10) : undefined;
    if (pid === undefined ? isOld(path) : !isRunning(pid)) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

function isOld(path) {
  return Date.now() - statSync(path).mtimeMs > ABANDONED_AFTER_MS;
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process lives but belongs to someone else.
    return error.code === 'EPERM';
  }
}
