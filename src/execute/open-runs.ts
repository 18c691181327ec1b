/** What ended a run before its end. */
export interface RunEnd {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** The process is one, and it may end without the code that runs in it. */
const open = new Set<(end: RunEnd) => void>();

/** Calls `run`; `tell` hears of what ends the process in its middle. */
export async function whileOpen<T>(tell: (end: RunEnd) => void, run: () => Promise<T>): Promise<T> {
  open.add(tell);
  try {
    return await run();
  } finally {
    open.delete(tell);
  }
}

/** The process is about to end: whoever follows a run's events is told so. */
export function endOpenRuns(end: RunEnd): void {
  for (const tell of open) tell(end);
  open.clear();
}
