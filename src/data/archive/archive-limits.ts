import { DataError } from '../../diagnostics/errors.ts';

export interface ArchiveLimits {
  readonly maximumEntries: number;
  readonly maximumBytes: number;
}

/** Counts what an archive unpacks to, whatever its headers claim. */
export interface ExtractionBudget {
  /** @throws DataError `data/archive-too-large` */
  addEntry(): void;
  /** @throws DataError `data/archive-too-large` */
  addBytes(count: number): void;
}

export function createBudget(archive: string, limits: ArchiveLimits): ExtractionBudget {
  let entries = 0;
  let bytes = 0;
  const refuse = (what: string, parameter: string): never => {
    throw new DataError({
      code: 'data/archive-too-large',
      message: `${archive} unpacks to more than ${what}`,
      hint: `if it is meant to be that large, raise the parameter ${parameter}`,
    });
  };
  return {
    addEntry() {
      entries += 1;
      if (entries > limits.maximumEntries) {
        refuse(`${limits.maximumEntries} entries`, 'archive.maximumEntries');
      }
    },
    addBytes(count) {
      bytes += count;
      if (bytes > limits.maximumBytes) {
        refuse(`${limits.maximumBytes / 1e9} GB`, 'archive.maximumGigabytes');
      }
    },
  };
}
