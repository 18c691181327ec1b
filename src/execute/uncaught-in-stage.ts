import { isAbsolute, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StageError } from '../diagnostics/errors.ts';
import { packageRoot } from '../runtime/package-root.ts';

/** What a stage kind of the user's own threw, in `file`, where nobody waited for it. */
export function uncaughtIn(file: string, thrown: unknown, whereStack: string): StageError {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new StageError({
    code: 'stage/uncaught',
    message: `${file} threw where nothing could catch it: ${text}`,
    hint: `await every promise in run, and catch what timers and listeners throw; ${whereStack}`,
    cause: thrown,
  });
}

/**
 * The first file of the user's in a stack: a stage kind or a module that it imports, since all else that runs
 * is drq, the packages it is installed with, and Node.
 */
export function usersFileIn(stack: string): string | undefined {
  return stack
    .split('\n')
    .flatMap((line) => fileOfFrame(line) ?? [])
    .find((file) => !isInstalled(file));
}

/** `    at f (file:///p/a.js?digest=…:2:3)` or `    at /p/a.cjs:2:3`. */
function fileOfFrame(line: string): string | undefined {
  const place = /^\s+at (?:.*\()?(?:async )?([^()]+?)(?:\?[^()]*)?:\d+:\d+\)?$/.exec(line)?.[1];
  if (place === undefined || place.includes('[eval')) return undefined;
  if (place.startsWith('file://')) return fileURLToPath(place);
  return isAbsolute(place) ? place : undefined;
}

function isInstalled(file: string): boolean {
  const own = [join('artifacts', 'build'), 'src'].map(
    (folder) => join(packageRoot(), folder) + sep,
  );
  return file.split(sep).includes('node_modules') || own.some((folder) => file.startsWith(folder));
}
