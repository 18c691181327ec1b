import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  readCheckpointFile,
  writeCheckpointFile,
  type CheckpointContent,
} from './checkpoint-file.ts';

/** The newest, and the one before for the case that the disk lost part of the newest. */
const KEPT_COUNT = 2;

/** The checkpoints of one training in one folder. */
export interface Checkpoints {
  /** The newest sound one that `accept` takes; the others are removed. Null: there is none. */
  load<T>(accept: (content: CheckpointContent) => T | null): Promise<T | null>;
  /**
   * Starts writing, once the one before is written; the training goes on meanwhile, so the arrays belong
   * to the checkpoint from now on.
   */
  save(content: CheckpointContent): Promise<void>;
  /** Waits until everything is on the disk. */
  finish(): Promise<void>;
  /** Removes them all. */
  discard(): Promise<void>;
}

export interface CheckpointsOptions {
  readonly folder: string;
  /** A full disk does not stop a training; it is told here. */
  onFailure(message: string): void;
}

export function createCheckpoints(options: CheckpointsOptions): Checkpoints {
  const { folder } = options;
  let lastNumber = 0;
  let writing: Promise<void> = Promise.resolve();
  const write = async (content: CheckpointContent): Promise<void> => {
    try {
      await mkdir(folder, { recursive: true });
      lastNumber += 1;
      await writeCheckpointFile(join(folder, nameOf(lastNumber)), content);
      for (const number of await numbersIn(folder)) {
        if (number <= lastNumber - KEPT_COUNT) await rm(join(folder, nameOf(number)));
      }
    } catch (error) {
      if (!(error instanceof Error) || !('syscall' in error)) throw error; // a bug, not the disk
      options.onFailure(`no checkpoint could be written: ${error.message}`);
    }
  };
  return {
    async load(accept) {
      let loaded: ReturnType<typeof accept> = null;
      for (const number of (await numbersIn(folder)).toReversed()) {
        lastNumber = Math.max(lastNumber, number);
        const path = join(folder, nameOf(number));
        if (loaded === null) {
          const content = await readCheckpointFile(path);
          loaded = content === null ? null : accept(content);
          if (loaded === null) await rm(path);
        }
      }
      return loaded;
    },
    async save(content) {
      await writing;
      writing = write(content);
      // An error is taken up by the next `save` or by `finish`.
      writing.catch(() => undefined);
    },
    finish: () => writing,
    async discard() {
      await writing;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function nameOf(number: number): string {
  return `${String(number).padStart(8, '0')}.checkpoint`;
}

/** In ascending order; what a kill left half written is removed. */
async function numbersIn(folder: string): Promise<number[]> {
  const numbers: number[] = [];
  for (const name of await filesIn(folder)) {
    if (name.endsWith('.tmp')) await rm(join(folder, name));
    const [, digits] = /^(\d{8})\.checkpoint$/.exec(name) ?? [];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    // Nothing was saved yet.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
