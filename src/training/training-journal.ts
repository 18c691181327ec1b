import { appendFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../runtime/make-folder.ts';
import { epochEvents, historyCsv } from './history.ts';
import { encodeEventFile, encodeEvents, eventFileName } from './tensorboard-events.ts';
import type { EpochRecord } from './training-state.ts';

export const HISTORY_FILE = 'history.csv';
export const EVENTS_FOLDER = 'events';

/** History and TensorBoard events of a training that runs, in a folder that outlives an interruption. */
export interface TrainingJournal {
  /** Brings both up to all epochs so far. */
  write(epochs: readonly EpochRecord[]): Promise<void>;
}

export interface JournalOptions {
  readonly folder: string;
  /** A full disk does not stop a training; it is told here. */
  readonly onFailure: (message: string) => void;
}

/**
 * The events grow at their end: TensorBoard keeps the file open and reads on, so that one put in its place
 * would never be seen. The first `write` of a process begins the file anew, since a kill may have left half
 * an event or an epoch that the checkpoint does not know.
 */
export function createTrainingJournal({ folder, onFailure }: JournalOptions): TrainingJournal {
  const eventsFolder = join(folder, EVENTS_FOLDER);
  let written: number | null = null;
  const writeEvents = async (epochs: readonly EpochRecord[]): Promise<void> => {
    const events = epochs.flatMap(epochEvents);
    const name = eventFileName(events);
    const path = join(eventsFolder, name);
    if (written === null) {
      await makeFolder(eventsFolder);
      for (const other of await readdir(eventsFolder)) {
        if (other !== name) await rm(join(eventsFolder, other), { recursive: true });
      }
      await writeFile(path, encodeEventFile(events));
    } else {
      await appendFile(path, encodeEvents(epochs.slice(written).flatMap(epochEvents)));
    }
    written = epochs.length;
  };
  const writeHistory = async (epochs: readonly EpochRecord[]): Promise<void> => {
    const path = join(folder, HISTORY_FILE);
    await writeFile(`${path}.tmp`, historyCsv(epochs));
    await rename(`${path}.tmp`, path);
  };
  return {
    async write(epochs) {
      if (epochs.length === 0) return;
      try {
        await writeEvents(epochs);
        await writeHistory(epochs);
      } catch (error) {
        if (!(error instanceof Error) || !('syscall' in error)) throw error; // a bug, not the disk
        written = null; // what was written in part is not to be added to
        onFailure(`history and events could not be written: ${error.message}`);
      }
    },
  };
}
