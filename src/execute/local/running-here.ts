import { StageError } from '../../diagnostics/errors.ts';

interface RunningStage {
  readonly stageId: string;
  readonly fail: (error: StageError) => void;
}

/** The process is one, and so is what runs in it. */
const running = new Set<RunningStage>();

/** Stages that run in this process now. */
export function stagesRunningHere(): readonly string[] {
  return [...running].map(({ stageId }) => stageId);
}

/**
 * Calls `run` with a promise that rejects when Node has nothing left to do: what the stage waits for
 * will never come then, and without an error the process would just end.
 */
export async function whileRunningHere(
  stageId: string,
  run: (stalled: Promise<never>) => Promise<void>,
): Promise<void> {
  const { promise, fail } = failable();
  const stage = { stageId, fail };
  // One listener for all: node warns of many on one event.
  if (running.size === 0) process.on('beforeExit', failAll);
  running.add(stage);
  try {
    await run(promise);
  } finally {
    running.delete(stage);
    if (running.size === 0) process.off('beforeExit', failAll);
  }
}

function failable(): {
  readonly promise: Promise<never>;
  readonly fail: (error: StageError) => void;
} {
  let fail: (error: StageError) => void = () => undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  promise.catch(() => undefined); // whoever waits for it gets the error; most stages end before
  return { promise, fail };
}

function failAll(): void {
  for (const { fail } of running) {
    fail(
      new StageError({
        code: 'stage/never-ends',
        message: 'run waits for what never comes: nothing else is left to do in this process',
        hint: 'settle every promise that run awaits',
      }),
    );
  }
}
