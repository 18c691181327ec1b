import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InterruptedError, UsageError } from '../diagnostics/errors.ts';
import { stagesRunningHere } from '../execute/local/running-here.ts';
import { endOpenRuns } from '../execute/open-runs.ts';
import { kindsBeingLoaded } from '../pipeline/loading-kinds.ts';
import { packageRoot } from '../runtime/package-root.ts';
import type { CommandCall, CommandContext } from './command-context.ts';
import { parseCommandLine } from './command-line.ts';

/**
 * Runs one command line (without `node` and the script) and returns the exit code: 0 done, 1 a stage
 * failed, 2 the pipeline or the usage is wrong, 3 a comparison broke its bound, 70 a bug of ours,
 * 130 interrupted.
 */
export async function main(argv: readonly string[]): Promise<number> {
  quietBrokenPipes();
  const abort = new AbortController();
  const stopListening = listenForSignals(abort);
  const stopCatching = catchCrashes();
  try {
    return await runCommandLine(argv, abort.signal);
  } catch (error) {
    // The only catch-all: whatever was thrown becomes one message and an exit code.
    const { reportError } = await import('./report-error.ts');
    return await reportError(abort.signal.aborted ? new InterruptedError() : error, say);
  } finally {
    process.off('exit', tellUnfinished);
    stopListening();
    stopCatching();
  }
}

async function runCommandLine(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const parsed = await parseCommandLine(argv, packageVersion);
  switch (parsed.type) {
    case 'text':
      print(parsed.text);
      return 0;
    case 'no-command':
      say(parsed.text);
      return 2;
    case 'error':
      throw new UsageError(parsed.error);
    case 'command': {
      // A stage's own process ends itself; its parent tells what was unfinished.
      if (parsed.command.name !== 'exec-stage') process.on('exit', tellUnfinished);
      const handler = await parsed.command.load();
      const call: CommandCall = {
        arguments: parsed.arguments,
        options: parsed.options,
        context: createContext(signal),
      };
      return await handler(call);
    }
  }
}

function createContext(signal: AbortSignal): CommandContext {
  return {
    cwd: process.cwd(),
    signal,
    stdout: process.stdout,
    stderr: process.stderr,
    print,
    say,
    stdoutWidth: process.stdout.isTTY ? process.stdout.columns : null,
  };
}

function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

function say(text: string): void {
  process.stderr.write(text.endsWith('\n') ? text : `${text}\n`);
}

function packageVersion(): string {
  const text = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string }; // our own file; npm requires the field
  return version;
}

/**
 * `drq table x.yaml | head` closes our stdout early, a closed window takes the terminal away (EIO); that is
 * no error, and a run must still finish or save.
 */
function quietBrokenPipes(): void {
  let isTold = false;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (isTold || error.code === 'EPIPE' || error.code === 'EIO') return;
      isTold = true; // telling it may fail again, where stderr is what cannot be written
      endWith(error);
    });
  }
}

/** What escapes every promise, from a timer or a stream: the same message, and no running on. */
function catchCrashes(): () => void {
  process.on('uncaughtException', endWith);
  return () => process.off('uncaughtException', endWith);
}

function endWith(error: unknown): void {
  process.off('exit', tellUnfinished); // the error itself tells
  void Promise.all([import('./report-error.ts'), import('../execute/to-drq-error.ts')])
    .then(([{ reportError }, { toDrqError }]) => {
      endOpenRuns(toDrqError(error));
      return reportError(error, say);
    })
    .then((exitCode) => process.exit(exitCode));
}

/**
 * Node ends with exit code 0 when nothing is left to do, and a stage may call `process.exit(0)`: no
 * success while the command has not ended.
 */
function tellUnfinished(): void {
  process.exitCode = 1; // whatever a stage chose: other codes have meanings of their own
  const end = describeUnfinished(stagesRunningHere(), kindsBeingLoaded());
  endOpenRuns(end);
  say(`error ${end.code}: ${end.message}`);
  say(`hint: ${end.hint}`);
}

function describeUnfinished(
  stages: readonly string[],
  loading: readonly string[],
): { readonly code: string; readonly message: string; readonly hint: string } {
  if (stages.length > 0) {
    const names = `stage${stages.length === 1 ? '' : 's'} ${stages.join(', ')}`;
    return {
      code: 'stage/process-exit',
      message: `the process was ended while ${names} ran in it`,
      hint: 'a stage must not call process.exit; throw an Error to fail',
    };
  }
  const place = loading.length === 0 ? '' : `: it was loading ${loading.join(', ')}`;
  return {
    code: 'run/unfinished',
    message: `the process ended before the command did${place}`,
    hint: 'a stage kind of your own must neither call process.exit nor wait for what never comes',
  };
}

/** `npm` and `timeout` pass a signal on that the terminal has sent to the whole group: one Ctrl-C, twice. */
const SAME_SIGNAL_MS = 300;

/**
 * The first signal asks everything to stop and tidy up; a second one exits at once. Not SIGHUP, of a closed
 * window or a lost connection: nobody is there to be in a hurry, and the kernel and the shell may both send it.
 */
function listenForSignals(abort: AbortController): () => void {
  let firstAt = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (abort.signal.aborted) {
      if (name === 'SIGHUP') return;
      if (performance.now() - firstAt < SAME_SIGNAL_MS) return;
      exitAtOnce();
    }
    firstAt = performance.now();
    say('stopping … (once more to exit at once)');
    abort.abort(new InterruptedError());
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  return () => {
    for (const name of names) process.off(name, onSignal);
  };
}

/**
 * Ends the process as the signal itself would have. `process.exit` would end the worker threads first,
 * and onnxruntime aborts the whole process (SIGABRT) when its thread is ended in mid-run.
 */
function exitAtOnce(): void {
  process.off('exit', tellUnfinished);
  process.exitCode = 130;
  process.emit('exit', 130); // the terminal's cursor is brought back
  process.removeAllListeners('SIGINT');
  process.kill(process.pid, 'SIGINT');
}

/** Whether node was started with this file, as the executor does for a stage process. */
function isEntryPoint(): boolean {
  const script = process.argv[1];
  if (script === undefined || !existsSync(script)) return false;
  return realpathSync(script) === realpathSync(fileURLToPath(import.meta.url));
}

if (isEntryPoint()) process.exitCode = await main(process.argv.slice(2));
