import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { packageRoot } from '../../src/runtime/package-root.ts';

export interface SetupOutcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A checkout with the real set-up scripts and next to nothing to compile, for tests that break it. */
export interface TinyCheckout {
  readonly folder: string;
  readonly cacheFolder: string;
  /** Folder of programs that stand first on PATH. */
  readonly programs: string;
  write(path: string, text: string, mode?: number): void;
  /** Calls so far of the npm that the set-up finds here. */
  npmCalls(): number;
  setup(argv: readonly string[], environment?: NodeJS.ProcessEnv): Promise<SetupOutcome>;
  launch(argv: readonly string[]): Promise<SetupOutcome>;
}

/** In place of npm: empties node_modules, as `npm ci` does, then links this checkout's compiler. */
const FAKE_NPM = `
import { appendFileSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
const [real, log] = [process.env.REAL_MODULES, process.env.NPM_LOG];
appendFileSync(log, process.argv.slice(2).join(' ') + '\\n');
rmSync('node_modules', { recursive: true, force: true });
mkdirSync('node_modules/half-installed', { recursive: true });
if (process.env.NPM_FAILS) {
  console.error('npm error network');
  process.exit(1);
}
for (const name of ['typescript', '@types', 'undici-types']) {
  symlinkSync(join(real, name), join('node_modules', name));
}
`;

export function makeTinyCheckout(context: TestContext): TinyCheckout {
  const scratch = mkdtempSync(join(tmpdir(), 'drq-tiny-'));
  context.after(() => rmSync(scratch, { recursive: true, force: true }));
  const folder = join(scratch, 'checkout');
  const programs = join(scratch, 'programs');
  const cacheFolder = join(scratch, 'cache', 'drq');
  const npm = join(scratch, 'npm-cli.js');
  const npmLog = join(scratch, 'npm.log');
  mkdirSync(programs, { recursive: true });
  writeFileSync(join(scratch, 'package.json'), '{ "type": "module" }');
  writeFileSync(npm, FAKE_NPM);
  writeFileSync(npmLog, '');

  const write: TinyCheckout['write'] = (path, text, mode = 0o644) => {
    const target = join(folder, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text, { mode });
  };
  const root = packageRoot();
  cpSync(join(root, 'src', 'cli', 'setup'), join(folder, 'src', 'cli', 'setup'), {
    recursive: true,
  });
  for (const name of ['setup.js', 'drq.js']) {
    cpSync(join(root, 'src', 'cli', name), join(folder, 'src', 'cli', name));
  }
  cpSync(join(root, 'tsconfig.json'), join(folder, 'tsconfig.json'));
  write('package.json', '{ "name": "tiny", "type": "module" }');
  write('package-lock.json', '{ "packages": {} }');
  write(
    'src/cli/main.ts',
    'export function main(argv: readonly string[]): Promise<number> {\n' +
      "  process.stdout.write(`ran ${argv.join(' ')}\\n`);\n  return Promise.resolve(7);\n}\n",
  );

  const start = (script: string, argv: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
    runNode([join(folder, 'src', 'cli', script), ...argv], folder, {
      ...process.env,
      npm_execpath: npm,
      NPM_LOG: npmLog,
      REAL_MODULES: join(root, 'node_modules'),
      XDG_CACHE_HOME: dirname(cacheFolder),
      ...environment,
    });
  return {
    folder,
    cacheFolder,
    programs,
    write,
    npmCalls: () => readFileSync(npmLog, 'utf8').split('\n').length - 1,
    setup: (argv, environment) => start('setup.js', argv, environment),
    launch: (argv) => start('drq.js', argv),
  };
}

function runNode(
  argv: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<SetupOutcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output.stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output.stderr += chunk));
    child.once('error', reject);
    child.once('close', (exitCode) => resolve({ exitCode, ...output }));
  });
}
