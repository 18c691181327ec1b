import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { packageRoot } from './package-root.ts';

/** Must be what src/cli/setup sets up; a test compares the two. */
export const TFJS_VERSION = '4.22.0';
const PACKAGE = '@tensorflow/tfjs-node';
const BINDING_FOLDER = join('lib', 'napi-v8');

export type TensorflowStatus =
  | {
      readonly state: 'ready';
      /** Folder of the tfjs-node package whose binding loads; import that one, by this path. */
      readonly packagePath: string;
      readonly tensorflowVersion: string;
    }
  | { readonly state: 'missing'; readonly reason: string; readonly remedy: string };

/**
 * Tells where tfjs-node with a compiled binding lies. Loads nothing: that would take half a second
 * and the banner of TensorFlow. The set-up has loaded the binding before it left its stamp.
 */
export function tensorflowStatus(root: string = packageRoot()): TensorflowStatus {
  const remedy = existsSync(join(root, 'tsconfig.json'))
    ? 'run `npm run setup` in the checkout of drq'
    : 'run `drq setup`';
  let packageFound = false;
  for (const packagePath of packagePlaces(root)) {
    packageFound = true;
    const tensorflowVersion = bindingVersion(packagePath);
    if (tensorflowVersion !== undefined) return { state: 'ready', packagePath, tensorflowVersion };
  }
  return {
    state: 'missing',
    reason: packageFound
      ? `the TensorFlow binding of ${PACKAGE} is not set up`
      : `${PACKAGE} is not installed`,
    remedy,
  };
}

/** The user's folder that checkouts and global installations share. */
export function userCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  // The XDG specification says that a relative XDG_CACHE_HOME is to be ignored.
  const base = environment['XDG_CACHE_HOME'];
  return join(base !== undefined && isAbsolute(base) ? base : join(homeFolder(), '.cache'), 'drq');
}

/** HOME may be empty and the user without an entry, as in containers: then nothing is shared for long. */
function homeFolder(): string {
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

/** First drq's own node_modules; then, for global installations, where `drq setup` put it. */
function packagePlaces(root: string): string[] {
  return [root, join(userCacheFolder(), `tfjs-node-${TFJS_VERSION}`)].flatMap((folder) => {
    try {
      const found = createRequire(join(folder, 'package.json')).resolve(`${PACKAGE}/package.json`);
      return [dirname(found)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return [];
      throw error;
    }
  });
}

/** TensorFlow's version where the binding is there with the libraries it runs on. */
function bindingVersion(packagePath: string): string | undefined {
  const folder = join(packagePath, BINDING_FOLDER);
  const binding = statSync(join(folder, 'tfjs_binding.node'), { throwIfNoEntry: false });
  if (binding === undefined) return undefined;
  const stampPath = join(folder, 'drq-binding.json');
  if (!existsSync(stampPath)) return versionOfOwnInstall(packagePath);
  const stamp = readStamp(stampPath);
  if (stamp?.bindingBytes !== binding.size) return undefined;
  return existsSync(stamp.libraryFolder) ? stamp.tensorflowVersion : undefined;
}

/** Where npm itself ran the package's install script there is no stamp, but a library beside it. */
function versionOfOwnInstall(packagePath: string): string | undefined {
  if (!existsSync(join(packagePath, 'deps', 'lib'))) return undefined;
  const constants = readFileSync(join(packagePath, 'scripts', 'deps-constants.js'), 'utf8');
  return /LIBTENSORFLOW_VERSION = '([^']+)'/.exec(constants)?.[1];
}

interface BindingStamp {
  readonly tensorflowVersion: string;
  readonly libraryFolder: string;
  readonly bindingBytes: number;
}

function readStamp(path: string): BindingStamp | undefined {
  try {
    return parseStamp(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    // A damaged stamp means the same as none: the set-up has to be run again.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function parseStamp(value: unknown): BindingStamp | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { tensorflowVersion, libraryFolder, bindingBytes } = value as Record<string, unknown>;
  return typeof tensorflowVersion === 'string' &&
    typeof libraryFolder === 'string' &&
    typeof bindingBytes === 'number'
    ? { tensorflowVersion, libraryFolder, bindingBytes }
    : undefined;
}
