import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { EnvironmentError, UsageError } from '../../src/diagnostics/errors.ts';
import { say, userPath } from '../support/benchmark-program.ts';

/**
 * One environment a tool: their requirements contradict each other. Neural Compressor 2.6 is the last
 * line with ONNX, and onnx and onnxruntime of its time are the ones it works with.
 */
const REQUIREMENTS = {
  onnxruntime: ['onnxruntime', 'onnx', 'sympy'],
  nncf: ['nncf', 'onnx', 'onnxruntime', 'openvino'],
  'neural-compressor': [
    'neural-compressor==2.6',
    'numpy<2',
    'onnx<1.17',
    'onnxruntime<1.20',
    'onnxruntime-extensions',
    'setuptools<81',
    'six',
  ],
  export: ['torch', 'torchvision', 'onnx', 'onnxscript', 'pillow'],
} as const satisfies Record<string, readonly string[]>;
export type EnvironmentName = keyof typeof REQUIREMENTS;

export interface Environments {
  /** Path of the interpreter; made at the first call. */
  pythonOf(name: EnvironmentName): Promise<string>;
}

/** Environments below `folder`, but for those that `given` names as NAME=INTERPRETER. */
export function createEnvironments(folder: string, given: readonly string[]): Environments {
  const known = new Map<string, string>();
  for (const text of given) {
    const [name = '', path = ''] = text.split(/=(.*)/s);
    if (!Object.hasOwn(REQUIREMENTS, name) || path === '') {
      throw new UsageError({
        code: 'usage/invalid-argument',
        message: `--python must be NAME=INTERPRETER, received "${text}"`,
        hint: `names are ${Object.keys(REQUIREMENTS).join(', ')}`,
      });
    }
    known.set(name, userPath(path));
  }
  return {
    async pythonOf(name) {
      const python = known.get(name) ?? (await prepare(folder, name));
      known.set(name, python);
      return python;
    },
  };
}

async function prepare(folder: string, name: EnvironmentName): Promise<string> {
  const place = join(folder, name);
  const python = join(place, 'bin', 'python');
  const done = join(place, 'complete'); // written last, so that an interrupted install is repeated
  if (existsSync(done)) return python;
  say(
    `making the Python environment "${name}" in ${place} (once; --python ${name}=… takes another)`,
  );
  await mkdir(folder, { recursive: true });
  await run('python3', ['-m', 'venv', place], name);
  await run(python, ['-m', 'pip', 'install', '--quiet', ...REQUIREMENTS[name]], name);
  await writeFile(done, '');
  return python;
}

async function run(program: string, parts: readonly string[], name: string): Promise<void> {
  const result = await execa(program, parts, { reject: false, stdout: 'ignore', stderr: 'pipe' });
  if (result.exitCode === 0) return;
  throw new EnvironmentError({
    code: 'peers/no-environment',
    message: `the Python environment "${name}" cannot be made: ${lastLine(result.stderr)}`,
    hint: `Python 3.9 or newer with venv and pip is needed; --python ${name}=INTERPRETER takes your own`,
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
