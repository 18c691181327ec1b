import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { say } from './benchmark-program.ts';

const REQUIREMENTS = ['torch', 'torchvision', 'pillow', 'numpy'];

/** The Python process that runs torchvision's DataLoader. */
export interface TorchvisionPeer {
  /** Loads all images once with two workers; gives the seconds it took. */
  load(paths: readonly string[], workers: number): Promise<number>;
  /** Writes Pillow's pixels of all images to one file. */
  writeReference(paths: readonly string[], target: string): Promise<void>;
  close(): void;
}

/** Starts the peer, in the interpreter given or in an environment of its own below the temporary folder. */
export async function startTorchvision(python: string | undefined): Promise<TorchvisionPeer> {
  const interpreter = await torchvisionPython(python);
  const script = join(packageRoot(), 'test', 'benchmarks', 'torchvision_loader.py');
  const child = spawn(interpreter, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (command: object): Promise<Record<string, unknown>> => {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    const next: IteratorResult<string, unknown> = await answers.next();
    if (next.done === true) throw new Error('the Python process ended; see its message above');
    return JSON.parse(next.value) as Record<string, unknown>; // our own script's answer
  };
  return {
    async load(paths, workers) {
      const { seconds, count } = await ask({ do: 'load', paths, workers });
      if (count !== paths.length) throw new Error(`loaded ${String(count)} of ${paths.length}`);
      return Number(seconds);
    },
    async writeReference(paths, target) {
      await ask({ do: 'reference', paths, target });
    },
    close: () => child.stdin.end(),
  };
}

/** The interpreter given, or that of an environment with torchvision below the temporary folder, made once. */
export async function torchvisionPython(given: string | undefined): Promise<string> {
  if (given !== undefined) return given;
  const folder = join(tmpdir(), 'drq-benchmark-python');
  const python = join(folder, 'bin', 'python');
  const done = join(folder, 'bin', 'torchrun'); // written last by pip's install of torch
  if (existsSync(done)) return python;
  say(`making a Python environment with torchvision in ${folder} (several GB, once)`);
  await execa('python3', ['-m', 'venv', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
  await execa(python, ['-m', 'pip', 'install', '--quiet', ...REQUIREMENTS], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return python;
}
