import { setTimeout as delay } from 'node:timers/promises';
import { InterruptedError } from '../../diagnostics/errors.ts';
import type { Executor, StageExecution } from '../executor.ts';
import { ABORT_GRACE_MS } from './abort-grace.ts';
import { runDefinition } from './run-definition.ts';
import { whileRunningHere } from './running-here.ts';
import { runInProcess } from './stage-process.ts';

/**
 * Runs stages on this machine. `stageCommand` are the arguments of node that serve one request
 * (`drq.js exec-stage`); the path of the request file is added.
 */
export function createLocalExecutor(stageCommand: readonly string[]): Executor {
  return {
    async run(execution) {
      if (execution.definition.isolation === 'process') await runInProcess(execution, stageCommand);
      else {
        await whileRunningHere(execution.request.stageId, (stalled) => runHere(execution, stalled));
      }
    },
  };
}

async function runHere(execution: StageExecution, stalled: Promise<never>): Promise<void> {
  const { signal } = execution;
  const settled = new AbortController();
  const giveUp = async (): Promise<never> => {
    await aborted(signal, settled.signal);
    await delay(execution.definition.abortGraceMs ?? ABORT_GRACE_MS, undefined, {
      signal: settled.signal,
    });
    throw new InterruptedError();
  };
  const run = runDefinition(execution);
  const limit = giveUp();
  limit.catch(() => undefined); // it loses the race whenever the stage ends by itself
  try {
    await Promise.race([run, limit, stalled]);
  } finally {
    settled.abort();
    run.catch(() => undefined); // given up: whatever it still does, its work folder is gone
  }
}

/** Resolves when `signal` aborts; rejects when `settled` does first. */
function aborted(signal: AbortSignal, settled: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true, signal: settled });
    settled.addEventListener('abort', () => reject(new InterruptedError()), { once: true });
  });
}
