import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { InterruptedError } from '../diagnostics/errors.ts';
import { temporaryPathBeside } from './atomic-write.ts';
import { systemErrorCode, withStoreErrors } from './system-error.ts';

const POLL_MS = 200;

const lockOwnerSchema = z.strictObject({
  token: z.string(),
  host: z.string(),
  pid: z.int(),
  /** Start of the process as the kernel counts it: a process id may be given out again. */
  processStart: z.string().nullable(),
  since: z.string(),
  what: z.string(),
});
export type LockOwner = z.infer<typeof lockOwnerSchema>;

/**
 * For those who wait: who holds the lock, and does what. Whether a process of another host still lives cannot
 * be seen from here, so what to do when it does not is said too.
 */
export function waitingText(owner: LockOwner, path: string, does: string): string {
  const { pid, host, what, since } = owner;
  const holder = `process ${pid} on ${host} ${does} (${what}, since ${since})`;
  return host === hostname() ? holder : `${holder}; if it no longer runs there, delete ${path}`;
}

export interface LockRequest {
  readonly path: string;
  /** For those who wait: `stage train of run …`. */
  readonly what: string;
  /** Called once when another process holds the lock. */
  readonly onWait: (owner: LockOwner) => void;
  readonly signal: AbortSignal;
}

export interface HeldLock {
  /** Another process held it first: what it did meanwhile must be looked at. */
  readonly waited: boolean;
  release(): Promise<void>;
}

/**
 * Waits until this process alone holds the lock. A lock whose owner died on this host is taken
 * over; one of another host is waited for, because its owner cannot be looked at.
 */
export async function acquireLock(request: LockRequest): Promise<HeldLock> {
  const owner: LockOwner = {
    token: randomUUID(),
    host: hostname(),
    pid: process.pid,
    processStart: await processStart(process.pid),
    since: new Date().toISOString(),
    what: request.what,
  };
  await withStoreErrors(request.path, () => mkdir(dirname(request.path), { recursive: true }));
  let waited = false;
  while (!(await tryCreate(request.path, owner))) {
    const other = await readOwner(request.path);
    if (other === 'gone') continue;
    if (other === 'unreadable' || (await isDead(other))) {
      await removeStale(request.path, other === 'unreadable' ? null : other.token);
      continue;
    }
    if (!waited) request.onWait(other);
    waited = true;
    if (request.signal.aborted) throw new InterruptedError();
    await delay(POLL_MS);
  }
  return {
    waited,
    release: async () => {
      const current = await readOwner(request.path);
      if (typeof current === 'object' && current.token === owner.token) {
        await rm(request.path, { force: true });
      }
    },
  };
}

/** A link appears with its whole content or not at all, on network file systems too. */
async function tryCreate(path: string, owner: LockOwner): Promise<boolean> {
  const temporary = temporaryPathBeside(path);
  return withStoreErrors(path, async () => {
    try {
      await writeFile(temporary, `${JSON.stringify(owner)}\n`, { flag: 'wx' });
      await link(temporary, path).catch(async (error: unknown) => {
        // A file system without links: exclusive creation is the next best.
        if (!['EPERM', 'ENOTSUP', 'ENOSYS'].includes(systemErrorCode(error) ?? '')) throw error;
        await writeFile(path, `${JSON.stringify(owner)}\n`, { flag: 'wx' });
      });
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  });
}

async function readOwner(path: string): Promise<LockOwner | 'gone' | 'unreadable'> {
  try {
    return lockOwnerSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT' ? 'gone' : 'unreadable';
  }
}

/** Moves the lock away before deleting it, so that only what was seen to be stale is removed. */
async function removeStale(path: string, staleToken: string | null): Promise<void> {
  const aside = temporaryPathBeside(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw error;
  }
  const moved = await readOwner(aside);
  if (typeof moved === 'object' && moved.token !== staleToken) {
    // Somebody else took it over in between and holds it now: give it back.
    await link(aside, path).catch(() => undefined);
  }
  await rm(aside, { force: true });
}

async function isDead(owner: LockOwner): Promise<boolean> {
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return systemErrorCode(error) === 'ESRCH'; // EPERM: alive, but somebody else's
  }
  const start = await processStart(owner.pid);
  return owner.processStart !== null && start !== null && start !== owner.processStart;
}

/** Field 22 of /proc/<pid>/stat (proc(5)): ticks since boot; null where there is no /proc. */
async function processStart(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets and may hold blanks.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null; // not Linux, or the process is gone: the process id has to do
  }
}
