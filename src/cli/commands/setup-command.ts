import { join } from 'node:path';
import { execa } from 'execa';
import { packageRoot } from '../../runtime/package-root.ts';
import type { CommandCall } from '../command-context.ts';

/** `drq setup`: the same script that `npm start` calls, in a process of its own because it may replace what this one has loaded. */
export async function setup({ context }: CommandCall): Promise<number> {
  const script = join(packageRoot(), 'src', 'cli', 'setup.js');
  const result = await execa(process.execPath, [script, 'binding'], {
    cwd: packageRoot(),
    stdio: 'inherit',
    reject: false,
    cancelSignal: context.signal,
    forceKillAfterDelay: 5000,
  });
  context.signal.throwIfAborted();
  return result.exitCode ?? 1;
}
