import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { z } from 'zod';
import { StageError } from '../../src/diagnostics/errors.ts';
import type { Network } from '../../src/models/network.ts';
import { writeWeightsFolder, type WeightsDetails } from '../../src/models/weights-folder.ts';
import { makeFolder } from '../../src/runtime/make-folder.ts';
import type { StageContext } from '../../src/stage/definition.ts';
import { EVENTS_FOLDER, HISTORY_FILE } from '../../src/training/training-journal.ts';
import type { SoundWeights } from '../../src/training/training-state.ts';

type Place = Pick<StageContext<unknown>, 'checkpointPath' | 'projectRoot'>;

/** Written last: it says that the weights beside it are whole and that the training is not to go on. */
const MARKER_FILE = 'diverged.json';
const WEIGHTS_FOLDER = 'diverged-weights';

const markerSchema = z.strictObject({ message: z.string(), hint: z.string() });

/**
 * Trained again with the same parameters on the same images it would diverge again, after as many hours, and
 * might do so in the place of what it had learnt.
 * @throws StageError `train/diverged-before`
 */
export async function refuseKnownDivergence(place: Place): Promise<void> {
  const marker = await readMarker(join(place.checkpointPath, MARKER_FILE));
  if (marker === null) return;
  throw new StageError({
    code: 'train/diverged-before',
    message: `a training with these parameters and images diverged before: ${marker.message}`,
    hint: `${marker.hint}; to train the same anew, remove ${shownFolder(place)}`,
  });
}

/** Keeps the weights beside history and events; gives the error with their places. */
export async function keepDiverged(
  place: Place,
  error: StageError,
  {
    kept,
    network,
    details,
  }: {
    readonly kept: SoundWeights;
    readonly network: Network;
    readonly details: WeightsDetails;
  },
): Promise<StageError> {
  const folder = join(place.checkpointPath, WEIGHTS_FOLDER);
  await rm(folder, { recursive: true, force: true });
  await makeFolder(folder);
  await writeWeightsFolder(folder, network, kept.weights, details);
  const shown = shownFolder(place);
  const which =
    kept.step === null
      ? `the best weights, of epoch ${kept.epoch},`
      : `the last weights saved, after ${kept.step} steps of epoch ${kept.epoch},`;
  const message = `${error.message}; ${which} are in ${join(shown, WEIGHTS_FOLDER)}, beside ${HISTORY_FILE} and ${EVENTS_FOLDER}`;
  const hint = `${error.hint ?? 'change the recipe'}, from the start or with these weights as input "weights"`;
  const marker = join(place.checkpointPath, MARKER_FILE);
  await writeFile(`${marker}.tmp`, `${JSON.stringify({ message, hint }, null, 2)}\n`);
  await rename(`${marker}.tmp`, marker);
  return new StageError({ code: error.code, message, hint, cause: error });
}

/** Relative to the project where it lies inside, as people see it. */
export function shownFolder({ checkpointPath, projectRoot }: Place): string {
  const path = relative(projectRoot, checkpointPath);
  return path.startsWith('..') ? checkpointPath : path;
}

/** Null when there is none; a damaged one says nothing, and the training begins anew. */
async function readMarker(path: string): Promise<z.infer<typeof markerSchema> | null> {
  try {
    const parsed = markerSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') {
      return null;
    }
    throw error;
  }
}
