import type { TrainingPlace } from '../../src/training/training-state.ts';

/**
 * What an interrupted training says: where the next run goes on. `saved`: of the newest checkpoint on the
 * disk, null: there is none. When it is not of `place`, the warning that says why stands before the note.
 */
export function interruptionNote(place: TrainingPlace, saved: TrainingPlace | null): string {
  const isSaved = saved?.epoch === place.epoch && saved.step === place.step;
  if (isSaved) return `saved after ${shown(place)}; the next run goes on there`;
  const start =
    saved === null ? 'begins anew' : `goes on after ${shown(saved)}, the newest checkpoint`;
  return `nothing could be saved after ${shown(place)}: the next run ${start}; if the disk is full, free space on it first`;
}

function shown({ epoch, step }: TrainingPlace): string {
  return `epoch ${epoch}, step ${step}`;
}
