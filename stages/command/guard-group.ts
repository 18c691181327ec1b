import { spawn } from 'node:child_process';

/**
 * Reads the id of a process group, then waits for the end of its input, which comes when the process at the
 * other end of the pipe is gone, however it went; then ends the group. It is ended itself before that
 * where all goes well.
 */
const WATCH = 'read -r group || exit; while read -r _; do :; done; kill -s KILL -- "-$group"';

export interface GroupGuard {
  /** From now on the group ends when this process does. */
  watch(groupId: number): void;
  /** The group is gone: its number may be another's soon. */
  done(): void;
}

/**
 * Starts a small process that outlives this one: nobody can tell of SIGKILL, and the program of a stage would go
 * on, unseen, beside that of the next run. In a session of its own, out of reach of Ctrl-C.
 */
export function startGroupGuard(): GroupGuard {
  if (process.platform === 'win32') return { watch: () => undefined, done: () => undefined };
  const guard = spawn('/bin/sh', ['-c', WATCH, 'drq-guard'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  // Where it cannot start or is ended by somebody, the program runs unguarded, as well as ever.
  guard.on('error', () => undefined);
  guard.stdin.on('error', () => undefined);
  guard.unref();
  return {
    watch: (groupId) => void guard.stdin.write(`${groupId}\n`),
    done() {
      guard.kill('SIGKILL');
      guard.stdin.destroy();
    },
  };
}
