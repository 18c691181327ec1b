import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../runtime/make-folder.ts';
import {
  readCheckpointFile,
  writeCheckpointFile,
  type CheckpointContent,
  type UnfinishedCheckpoint,
} from './checkpoint-file.ts';

/** The newest, and the one before for the case that the disk lost part of the newest. */
const KEPT_COUNT = 2;

/** `failed`: the reason was told by `onFailure`. */
export type SaveOutcome = 'saved' | 'failed';

/** The checkpoints of one training in one folder. */
export interface Checkpoints {
  /**
   * What `accept` makes of the newest one that can be read, is whole and that it takes (not null). Null:
   * there is none. None that fails keeps one before it from being taken.
   */
  load<T>(accept: (content: CheckpointContent) => T | null): Promise<T | null>;
  /** Ends when all values are taken; the disk may take longer, while the training goes on. */
  save(content: CheckpointContent): Promise<void>;
  /** Waits for the disk; tells whether it holds what was last given to `save`. */
  finish(): Promise<SaveOutcome>;
  /** Removes them all, and nothing else that lies in the folder. */
  discard(): Promise<void>;
}

export interface CheckpointsOptions {
  readonly folder: string;
  /** A full disk or a damaged file does not stop a training; it is told here. */
  onFailure(message: string): void;
}

export function createCheckpoints(options: CheckpointsOptions): Checkpoints {
  const { folder } = options;
  let lastNumber = 0;
  /** The newest that was read or written; the disk holds it. */
  let soundNumber: number | null = null;
  let hasToldFull = false;
  let writing: Promise<SaveOutcome> = Promise.resolve('saved');
  const begin = async (content: CheckpointContent): Promise<UnfinishedCheckpoint> => {
    await makeFolder(folder);
    lastNumber += 1;
    const path = join(folder, nameOf(lastNumber));
    try {
      return await writeCheckpointFile(path, content);
    } catch (error) {
      if (!isDiskFull(error) || !(await makeRoom())) throw error;
      return writeCheckpointFile(path, content);
    }
  };
  const finishOne = async (file: UnfinishedCheckpoint, number: number): Promise<SaveOutcome> => {
    try {
      await file.finish();
    } catch (error) {
      // The training has gone on, so this one is lost; the next one finds room.
      if (isDiskFull(error)) await makeRoom();
      throw error;
    }
    soundNumber = number;
    for (const older of await numbersIn(folder)) {
      if (older <= number - KEPT_COUNT) await remove(older);
    }
    return 'saved';
  };
  /** Leaves the newest sound one alone; tells whether there were others. */
  const makeRoom = async (): Promise<boolean> => {
    if (soundNumber === null) return false;
    const others = (await numbersIn(folder)).filter((number) => number !== soundNumber);
    for (const number of others) await remove(number);
    if (others.length > 0 && !hasToldFull) {
      options.onFailure(
        `the disk of ${folder} is nearly full: of the checkpoints only the newest is kept while the next is written; free space on it`,
      );
      hasToldFull = true;
    }
    return others.length > 0;
  };
  const remove = (number: number): Promise<void> =>
    rm(join(folder, nameOf(number)), { recursive: true, force: true });
  const tell = (error: unknown): SaveOutcome => {
    if (!isOfSystem(error)) throw error; // a bug, not the disk
    options.onFailure(`no checkpoint could be written: ${error.message}`);
    return 'failed';
  };
  const tryOne = async <T>(
    number: number,
    accept: (content: CheckpointContent) => T | null,
  ): Promise<T | null> => {
    const path = join(folder, nameOf(number));
    try {
      const loaded = await readCheckpointFile(path, accept);
      if (loaded !== null) {
        soundNumber = number;
        return loaded;
      }
      options.onFailure(
        `${path} is damaged, of another form or has weights that are not finite; the one before is looked for`,
      );
      await remove(number);
    } catch (error) {
      // It may be readable another time, so it stays until newer ones take its place.
      if (!isOfSystem(error)) throw error;
      options.onFailure(
        `${path} could not be read (${error.message}); the one before is looked for`,
      );
    }
    return null;
  };
  return {
    async load(accept) {
      let numbers: number[] = [];
      try {
        await removeUnfinished(folder);
        numbers = await numbersIn(folder);
      } catch (error) {
        if (!isOfSystem(error)) throw error;
        options.onFailure(`no checkpoint is looked for: ${error.message}`);
      }
      lastNumber = Math.max(lastNumber, ...numbers);
      for (const number of numbers.toReversed()) {
        const loaded = await tryOne(number, accept);
        if (loaded !== null) return loaded;
      }
      return null;
    },
    async save(content) {
      await writing;
      try {
        const file = await begin(content);
        writing = finishOne(file, lastNumber).catch(tell);
        // An error is taken up by the next `save` or by `finish`.
        writing.catch(() => undefined);
      } catch (error) {
        writing = Promise.resolve(tell(error));
      }
    },
    finish: () => writing,
    async discard() {
      await writing;
      await removeUnfinished(folder);
      for (const number of await numbersIn(folder)) await remove(number);
    },
  };
}

/** The disk, or the user's share of it. */
function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** What the system says, and memory that cannot be had for a large file. */
function isOfSystem(error: unknown): error is Error {
  return error instanceof RangeError || (error instanceof Error && 'syscall' in error);
}

function nameOf(number: number): string {
  return `${String(number).padStart(8, '0')}.checkpoint`;
}

/** In ascending order. */
async function numbersIn(folder: string): Promise<number[]> {
  const numbers = (await filesIn(folder)).flatMap((name) => {
    // After 99999999, which only a foreign file can have, come more digits.
    const [, digits] = /^(\d{8,15})\.checkpoint$/.exec(name) ?? [];
    const number = Number(digits);
    return digits !== undefined && nameOf(number) === name ? [number] : [];
  });
  return numbers.sort((a, b) => a - b);
}

/** What a kill left half written. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await filesIn(folder)) {
    if (name.endsWith('.checkpoint.tmp')) await rm(join(folder, name));
  }
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
