import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { execa } from 'execa';

/** Compiled files lie in `<build>/test/support`, so the build under test is two folders up. */
const BUILD_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

export interface CliResult {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A temporary project and the real command line on it, in a process of its own. */
export interface Rig {
  readonly root: string;
  path(...parts: string[]): string;
  write(file: string, content: string | Uint8Array): Promise<string>;
  read(file: string): Promise<string>;
  /** Runs `drq …` in the project's folder. */
  drq(...parts: string[]): Promise<CliResult>;
  /** Starts it without waiting, to send signals to. */
  start(...parts: string[]): ReturnType<typeof startCli>;
  git(...parts: string[]): Promise<void>;
}

/** Makes the project; it is removed when the test ends. */
export async function createRig(context: TestContext): Promise<Rig> {
  const root = await mkdtemp(join(tmpdir(), 'drq-test-'));
  context.after(() => rm(root, { recursive: true, force: true }));
  const path = (...parts: string[]): string => join(root, ...parts);
  const write = async (file: string, content: string | Uint8Array): Promise<string> => {
    await mkdir(dirname(path(file)), { recursive: true });
    await writeFile(path(file), content);
    return path(file);
  };
  await write('package.json', '{ "name": "temporary", "type": "module" }\n');
  const start: Rig['start'] = (...parts) => startCli(root, parts);
  return {
    root,
    path,
    write,
    read: (file) => readFile(path(file), 'utf8'),
    start,
    drq: async (...parts) => {
      const { exitCode, stdout, stderr } = await start(...parts);
      return { exitCode, stdout, stderr };
    },
    git: async (...parts) => {
      await execa('git', parts, { cwd: root, env: GIT_IDENTITY });
    },
  };
}

function startCli(cwd: string, parts: readonly string[]) {
  return execa(process.execPath, ['--input-type=module', '--eval', LAUNCH, '--', ...parts], {
    cwd,
    reject: false,
    stripFinalNewline: false,
    env: { NO_COLOR: '1', DRQ_TEST_MAIN: mainUrl(), DRQ_DEBUG: '' },
  });
}

/** The URL that a module of a test's own imports `defineStage` and `z` from. */
export function libraryUrl(): string {
  return pathToFileURL(join(BUILD_FOLDER, 'src', 'index.js')).href;
}

function mainUrl(): string {
  return pathToFileURL(join(BUILD_FOLDER, 'src', 'cli', 'main.js')).href;
}

/** What the launcher does, for the build under test instead of the installed one. */
const LAUNCH = `
  const { main } = await import(process.env.DRQ_TEST_MAIN);
  process.exitCode = await main(process.argv.slice(1));
`;

/** Commits need a name, and must not take the one of whoever runs the tests. */
const GIT_IDENTITY = {
  GIT_AUTHOR_NAME: 'test',
  GIT_AUTHOR_EMAIL: 'test@example.invalid',
  GIT_COMMITTER_NAME: 'test',
  GIT_COMMITTER_EMAIL: 'test@example.invalid',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};
