import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { execa } from 'execa';
import { DataError } from '../../src/diagnostics/errors.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';

export interface Clone {
  /** Holds nothing but the clone and what its user adds; to be removed. */
  readonly scratch: string;
  readonly folder: string;
  readonly revision: string;
  /** Tracked files of the checkout that differ from the revision: the clone has them without. */
  readonly uncommittedCount: number;
}

/** Clones the last commit of this checkout below the temporary folder, as a stranger would. */
export async function cloneCheckout(name: string): Promise<Clone> {
  const root = packageRoot();
  const git = async (...parts: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await execa('git', ['-C', root, ...parts], {
      reject: false,
    });
    if (exitCode === 0) return stdout;
    throw new DataError({
      code: 'benchmark/no-checkout',
      message: `${root} cannot be cloned: ${stderr}`,
      hint: 'this benchmark needs git and a checkout of drq',
    });
  };
  const revision = (await git('rev-parse', '--short', 'HEAD')).trim();
  const changes = (await git('status', '--porcelain', '--untracked-files=no')).trim();
  const scratch = await mkdtemp(join(tmpdir(), `drq-${name}-`));
  const folder = join(scratch, 'drq');
  await git('clone', '--quiet', '--no-hardlinks', root, folder);
  const uncommittedCount = changes === '' ? 0 : changes.split('\n').length;
  return { scratch, folder, revision, uncommittedCount };
}

/** The environment of a terminal: without what the npm that runs the benchmark has put there. */
export function terminalEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !/^(npm_|INIT_CWD$|NODE$)/.test(entry[0]),
  );
  const environment = Object.fromEntries(entries);
  const path = (environment['PATH'] ?? '').split(delimiter);
  environment['PATH'] = path
    .filter((folder) => !/node_modules[\\/](\.bin|npm)|node-gyp-bin/.test(folder))
    .join(delimiter);
  return environment;
}
