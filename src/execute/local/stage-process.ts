import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InterruptedError, StageError } from '../../diagnostics/errors.ts';
import type { StageExecution, StageListener } from '../executor.ts';
import { ABORT_GRACE_MS } from './abort-grace.ts';
import { stageMessageSchema, type StageMessage } from './stage-messages.ts';

interface Exit {
  readonly code: number | null;
  readonly signalName: NodeJS.Signals | null;
}

/** Runs one stage in a Node process of its own, with the environment and flags its kind asks for. */
export async function runInProcess(
  { request, definition, listener, signal }: StageExecution,
  stageCommand: readonly string[],
): Promise<void> {
  const requestPath = join(request.workFolder, 'request.json');
  await writeFile(requestPath, `${JSON.stringify(request, null, 2)}\n`);
  throwIfAborted(signal);
  const log = openSync(request.logPath, 'a');
  let child: ChildProcess;
  try {
    const nodeArguments = [...(definition.nodeFlags ?? []), ...stageCommand, requestPath];
    child = spawn(process.execPath, nodeArguments, {
      cwd: request.projectRoot,
      env: { ...process.env, ...definition.environment?.({ cpuCount: request.cpuCount }) },
      stdio: ['ignore', log, log, 'ipc'],
    });
  } finally {
    closeSync(log);
  }
  const graceMs = definition.abortGraceMs ?? ABORT_GRACE_MS;
  const last = await superviseChild({ child, listener, signal, graceMs });
  throwIfAborted(signal);
  const { outcome, exit } = last;
  if (outcome?.type === 'finished') return;
  if (outcome?.type === 'failed') {
    const { code, message, hint } = outcome;
    throw new StageError({ code, message, ...(hint === undefined ? {} : { hint }) });
  }
  throw crashed(exit);
}

/** Waits for the process to end; passes on what it says; ends it when the run is aborted. */
async function superviseChild({
  child,
  listener,
  signal,
  graceMs,
}: {
  readonly child: ChildProcess;
  readonly listener: StageListener;
  readonly signal: AbortSignal;
  /** From a polite request to end until the process is killed. */
  readonly graceMs: number;
}): Promise<{ readonly outcome: StageMessage | null; readonly exit: Exit }> {
  let outcome: StageMessage | null = null;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill('SIGTERM');
    killTimer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  };
  child.on('message', (raw) => {
    const parsed = stageMessageSchema.safeParse(raw);
    if (!parsed.success) return; // a library in the child may use the channel too
    const message = parsed.data;
    if (message.type === 'progress') listener.progress(message.update);
    else if (message.type === 'warning') listener.warn(message.message);
    else if (message.type === 'notice') listener.notice(message.message);
    else outcome = message;
  });
  try {
    const exit = await new Promise<Exit>((resolve, reject) => {
      child.on('error', reject);
      // Not `exit`: messages sent just before the end arrive until the channel is closed.
      child.on('close', (code, signalName) => resolve({ code, signalName }));
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
    });
    return { outcome, exit };
  } finally {
    signal.removeEventListener('abort', stop);
    clearTimeout(killTimer);
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new InterruptedError();
}

function crashed({ code, signalName }: Exit): Error {
  if (signalName === 'SIGKILL') {
    return new StageError({
      code: 'stage/killed',
      message: 'the process of the stage was killed (SIGKILL)',
      hint: 'most often memory ran out: try a smaller batch, fewer cpus, or fewer --jobs',
    });
  }
  if (signalName !== null) {
    return new StageError({
      code: 'stage/crashed',
      message: `the process of the stage crashed (${signalName})`,
      hint: 'its last words, if any, are in the log',
    });
  }
  if (code === 0) {
    return new StageError({
      code: 'stage/crashed',
      message: 'the process of the stage ended before the stage was done, with exit code 0',
      hint: 'a stage must neither call process.exit nor wait for what never comes',
    });
  }
  return new StageError({
    code: 'stage/crashed',
    message: `the process of the stage ended with exit code ${code ?? 'unknown'}`,
    hint: 'its last words, if any, are in the log',
  });
}
