import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { InternalError, StageError, UsageError } from '../../diagnostics/errors.ts';
import type { AnyStageDefinition } from '../../stage/definition.ts';
import { hashFile } from '../../store/hash-file.ts';
import { asStoreError, pathOfError } from '../../store/system-error.ts';
import type { StageRequest } from '../executor.ts';
import { explain, textForLog } from '../stage-failure.ts';
import { uncaughtIn } from '../uncaught-in-stage.ts';
import { runDefinition } from './run-definition.ts';
import { whileRunningHere } from './running-here.ts';
import type { StageMessage } from './stage-messages.ts';
import { takeOverSignal } from './take-over-signal.ts';

/** Checked in outline: the file is written by drq itself, a moment before. */
const requestSchema = z.looseObject({
  stageId: z.string(),
  kind: z.string(),
  modulePath: z.string().nullable(),
  sourceDigest: z.string().nullable(),
  logPath: z.string(),
});

/**
 * The child's side of a stage process: runs the request, tells the parent how it went, and ends the
 * process, whatever the stage left open. It ends too when its parent dies, so that no training is
 * left behind. `early` has what signals told the process before this was called.
 */
export async function serveStage(
  requestPath: string,
  findDefinition: (kind: string) => Promise<AnyStageDefinition>,
  early?: AbortSignal,
): Promise<never> {
  if (process.send === undefined) {
    throw new UsageError({
      code: 'usage/internal-command',
      message: 'exec-stage is started by drq itself',
      hint: 'use `drq run FILE STAGE`',
    });
  }
  const told = listenToParent();
  const signal = early === undefined ? told : AbortSignal.any([early, told]);
  try {
    const request = await readRequest(requestPath);
    if (request.modulePath !== null) tellUncaught(request.modulePath);
    const definition =
      request.modulePath === null
        ? await findDefinition(request.kind)
        : await importOwnKind(request.modulePath, request.sourceDigest);
    const listener = {
      progress: (update: Extract<StageMessage, { type: 'progress' }>['update']) =>
        tell({ type: 'progress', update }),
      warn: (message: string) => tell({ type: 'warning', message }),
      notice: (message: string) => tell({ type: 'notice', message }),
    };
    process.channel?.unref(); // it alone would keep a process alive whose stage waits for what never comes
    await whileRunningHere(request.stageId, (stalled) =>
      Promise.race([runDefinition({ request, definition, listener, signal }), stalled]),
    );
    await tellAndWait({ type: 'finished' });
    process.exit(0);
  } catch (raw) {
    const error = await asStoreError(raw, pathOfError(raw) ?? dirname(requestPath));
    const failure = explain(error);
    // A stack goes to the log (stderr is the log file); the parent shows the message and logs it too.
    if (failure.code === 'stage/unexpected') {
      process.stderr.write(`${textForLog(error, failure)}\n`);
    }
    await tellAndWait({ type: 'failed', ...failure });
    process.exit(1);
  }
}

/** In the process of a user's own kind all that nobody catches is the kind's: it fails the stage. */
function tellUncaught(modulePath: string): void {
  process.removeAllListeners('uncaughtException'); // the command line's, which would call it a bug of drq
  process.on('uncaughtException', (thrown: unknown) => {
    const { code, message, hint } = uncaughtIn(modulePath, thrown, 'the stack trace is in the log');
    process.stderr.write(`${thrown instanceof Error ? (thrown.stack ?? message) : message}\n`);
    const failed = {
      type: 'failed',
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
    } as const;
    void tellAndWait(failed).then(() => process.exit(1));
  });
}

function listenToParent(): AbortSignal {
  const abort = new AbortController();
  process.on('disconnect', () => process.exit(1));
  if (!process.connected) process.exit(1); // it died while this process was loading
  // Ctrl-C and the end of a terminal reach the whole process group; the parent decides and sends SIGTERM.
  for (const name of ['SIGINT', 'SIGHUP'] as const) takeOverSignal(name, () => undefined);
  takeOverSignal('SIGTERM', () => abort.abort());
  return abort.signal;
}

async function readRequest(path: string): Promise<StageRequest> {
  const parsed = requestSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!parsed.success) throw new InternalError(`${path} is no stage request`, parsed.error);
  return parsed.data as unknown as StageRequest; // see requestSchema
}

/** The stage's key holds the source as the pipeline was read with it: what was edited since must not run under it. */
async function importOwnKind(
  modulePath: string,
  sourceDigest: string | null,
): Promise<AnyStageDefinition> {
  const requireUnchanged = async (): Promise<void> => {
    if ((await hashFile(modulePath)).digest !== sourceDigest) throw changedSource(modulePath);
  };
  await requireUnchanged();
  const module: unknown = await import(pathToFileURL(modulePath).href);
  await requireUnchanged(); // node has read the file in between
  if (typeof module !== 'object' || module === null || !('default' in module)) {
    throw new InternalError(`${modulePath} has lost its default export`);
  }
  return module.default as AnyStageDefinition; // checked when the pipeline was read
}

function changedSource(modulePath: string): StageError {
  return new StageError({
    code: 'stage/source-changed',
    message: `the source of the stage kind (${modulePath}) changed while the run was under way, so the stage was not run`,
    hint: 'run again: the new source is taken then',
  });
}

function tell(message: StageMessage): void {
  if (process.connected) process.send?.(message);
}

async function tellAndWait(message: StageMessage): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => {
    process.send?.(message, undefined, undefined, () => resolve());
  });
}
