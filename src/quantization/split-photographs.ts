import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { listImageFiles } from '../data/list-image-files.ts';
import { countUnreadImages, describeUnreadFormats, listUnreadFiles } from '../data/unread-files.ts';
import { DataError, UsageError } from '../diagnostics/errors.ts';
import { evenlySpaced } from '../numeric/evenly-spaced.ts';
import { spacedWithoutCopies } from './without-copies.ts';

const DEFAULT_COUNT = 128;
/** Enough for a steady figure; more would only take time. */
const MAX_COMPARED_COUNT = 512;
/** Kept for the comparison where a folder holds fewer images than are wanted for calibration. */
const HELD_OUT_FRACTION = 0.2;

/** Why a single folder may leave nothing to compare on. */
export const NONE_LEFT =
  'every photograph of the folder was needed for calibration, or is a copy of one that was';

/**
 * Paths of all photographs below `folder`, which messages call `shownFolder`, in natural order.
 * @throws UsageError `quantize/no-folder`, DataError `quantize/no-photographs`, `data/no-folder` where it
 *   may not be read
 */
export async function findPhotographs(folder: string, shownFolder = folder): Promise<string[]> {
  const found = await stat(folder).catch(() => null); // null: nothing there that could be looked at
  if (!found?.isDirectory()) {
    throw new UsageError({
      code: 'quantize/no-folder',
      message: found === null ? `there is no folder ${shownFolder}` : `${shownFolder} is no folder`,
      hint: 'give a folder with photographs like those the model will see',
    });
  }
  const files = await listImageFiles(folder);
  if (files.length > 0) return files.map((file) => join(folder, file));
  const unread = countUnreadImages(await listUnreadFiles(folder));
  throw new DataError({
    code: 'quantize/no-photographs',
    message: `${shownFolder} holds no photographs${unread === null ? '' : ` of a format that is read; it holds ${unread}`}`,
    hint:
      unread === null
        ? 'give a folder with photographs like those the model will see'
        : 'convert them to PNG or JPEG, or give a folder with photographs like those the model will see',
  });
}

/** What to tell of a folder beside whose photographs lie files of formats that are not read. */
export async function unreadNotes(folder: string, shownFolder = folder): Promise<string[]> {
  const formats = describeUnreadFormats(await listUnreadFiles(folder));
  return formats === null ? [] : [`${shownFolder}: ${formats}`];
}

export interface PhotographSplit {
  readonly calibration: readonly string[];
  readonly others: readonly string[];
}

/** Evenly spaced files for calibration, and all others. */
export function splitPhotographs(
  files: readonly string[],
  wanted = DEFAULT_COUNT,
): PhotographSplit {
  const most = Math.max(1, files.length - Math.ceil(files.length * HELD_OUT_FRACTION));
  const calibration = evenlySpaced(files, Math.min(wanted, most));
  const chosen = new Set(calibration);
  return { calibration, others: files.filter((file) => !chosen.has(file)) };
}

/** All of a folder that another one is compared on may calibrate. */
export function calibrationOf(files: readonly string[], wanted = DEFAULT_COUNT): readonly string[] {
  return evenlySpaced(files, Math.min(wanted, files.length));
}

/** Evenly spaced ones of the others for the comparison, none of them a copy of one that calibrates. */
export function comparedOf(
  { calibration, others }: PhotographSplit,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return spacedWithoutCopies(others, MAX_COMPARED_COUNT, calibration, signal);
}
