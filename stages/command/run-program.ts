import { execa } from 'execa';
import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import { InterruptedError, StageError } from '../../src/diagnostics/errors.ts';
import { startGroupGuard } from './guard-group.ts';

export interface ProgramCall {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingFolder: string;
  /** Null: no limit. */
  readonly timeoutSeconds: number | null;
  readonly signal: AbortSignal;
  log(line: string): void;
}

/** How many of the last lines of stderr an error shows; the rest is in the log. */
const SHOWN_LINE_COUNT = 10;

/** Between asking the program to end and ending it. */
const GRACE_MS = 5000;

/**
 * Runs a program to its end, its output going to the log line by line. It leads a process group of
 * its own, so that stopping it stops its children too; whatever it leaves running is ended with it, and all
 * of it with this process.
 * @throws StageError when it cannot start, fails, is killed or takes too long.
 */
export async function runProgram(call: ProgramCall): Promise<void> {
  if (call.signal.aborted) throw new InterruptedError();
  const guard = startGroupGuard(); // first, so that next to nothing lies between the program and its guard
  const child = execa(call.program, [...call.arguments], {
    cwd: call.workingFolder,
    env: call.environment,
    extendEnv: false,
    stdin: 'ignore',
    buffer: false,
    reject: false,
    detached: process.platform !== 'win32',
  });
  if (child.pid !== undefined) guard.watch(child.pid);
  const stopper = createStopper(child);
  const stopped: { by: 'nobody' | 'abort' | 'timeout' } = { by: 'nobody' };
  const stop = (by: 'abort' | 'timeout'): void => {
    stopped.by = by;
    stopper.stop();
  };
  const onAbort = (): void => stop('abort');
  // A detached group outlives an exit of this process that nobody announced, so end it here too.
  const onExit = (): void => stopper.endGroup();
  call.signal.addEventListener('abort', onAbort, { once: true });
  process.once('exit', onExit);
  const timer =
    call.timeoutSeconds === null
      ? undefined
      : setTimeout(() => stop('timeout'), call.timeoutSeconds * 1000);
  // Children that were left behind hold the pipes open: without this the wait would not end.
  child.once('exit', () => stopper.endGroup());
  const lastErrorLines: string[] = [];
  forEachLine(child.stdout, (line) => call.log(line));
  forEachLine(child.stderr, (line) => {
    call.log(line);
    lastErrorLines.push(line);
    if (lastErrorLines.length > SHOWN_LINE_COUNT) lastErrorLines.shift();
  });
  try {
    const { exitCode, signal, code, shortMessage } = await child;
    if (stopped.by === 'abort') throw new InterruptedError();
    if (stopped.by === 'timeout') throw timedOut(call, lastErrorLines);
    if (exitCode === 0) return;
    throw failed(call, { exitCode, signal, code, shortMessage, lastErrorLines });
  } finally {
    clearTimeout(timer);
    stopper.done();
    guard.done();
    call.signal.removeEventListener('abort', onAbort);
    process.removeListener('exit', onExit);
  }
}

function createStopper(child: {
  readonly pid?: number | undefined;
  kill(signal: NodeJS.Signals): boolean;
}): {
  stop(): void;
  endGroup(): void;
  done(): void;
} {
  let killTimer: ReturnType<typeof setTimeout> | undefined;
  const send = (signal: 'SIGTERM' | 'SIGKILL'): void => {
    if (child.pid === undefined) return; // it never started
    if (process.platform === 'win32') {
      child.kill(signal);
      return;
    }
    try {
      process.kill(-child.pid, signal);
    } catch (error) {
      // The group has ended by itself, or holds only processes that are already gone (macOS: EPERM).
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ESRCH' && code !== 'EPERM') throw error;
    }
  };
  return {
    stop() {
      send('SIGTERM');
      killTimer ??= setTimeout(() => send('SIGKILL'), GRACE_MS);
    },
    endGroup: () => send('SIGKILL'),
    done: () => clearTimeout(killTimer),
  };
}

/** A line longer than this is passed on in pieces: a program may write gigabytes without a break. */
const LONGEST_LINE = 64 * 1024;

function forEachLine(stream: Readable | null, take: (line: string) => void): void {
  if (stream === null) return;
  const decoder = new StringDecoder('utf8');
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? '';
    for (const line of lines) take(line);
    if (rest.length > LONGEST_LINE) {
      take(rest);
      rest = '';
    }
  });
  stream.on('end', () => {
    rest += decoder.end();
    if (rest !== '') take(rest);
  });
}

interface Ending {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** Of the operating system, when the program could not be started. */
  readonly code: string | undefined;
  readonly shortMessage: string | undefined;
  readonly lastErrorLines: readonly string[];
}

function failed(call: ProgramCall, ending: Ending): StageError {
  const { exitCode, signal, code, shortMessage, lastErrorLines } = ending;
  if (code === 'ENOENT') {
    return new StageError({
      code: 'command/program-not-found',
      message: `program "${call.program}" was not found`,
      hint: 'install it, or give its absolute path; names are looked up on PATH',
    });
  }
  if (code === 'EACCES') {
    return new StageError({
      code: 'command/not-executable',
      message: `program "${call.program}" may not be executed`,
      hint: 'give it the permission (chmod +x), or name its interpreter as the program',
    });
  }
  if (signal !== undefined) {
    return new StageError({
      code: 'command/killed',
      message: `program "${call.program}" was killed by ${signal}${tailOf(lastErrorLines)}`,
      hint: 'SIGKILL that nobody sent usually means that memory ran out',
    });
  }
  if (exitCode !== undefined) {
    return new StageError({
      code: 'command/failed',
      message: `program "${call.program}" ended with exit code ${exitCode}, expected 0${tailOf(lastErrorLines)}`,
      hint: "its whole output is in the stage's log",
    });
  }
  return new StageError({
    code: 'command/cannot-start',
    message: `program "${call.program}" could not be run: ${shortMessage ?? code ?? 'no reason given'}`,
  });
}

function timedOut(call: ProgramCall, lastErrorLines: readonly string[]): StageError {
  return new StageError({
    code: 'command/timeout',
    message: `program "${call.program}" did not end within ${call.timeoutSeconds ?? 0} s and was stopped${tailOf(lastErrorLines)}`,
    hint: 'raise the parameter "timeoutSeconds"',
  });
}

function tailOf(lines: readonly string[]): string {
  if (lines.length === 0) return '; it wrote nothing to stderr';
  return `; the last of stderr:\n${lines.map((line) => `    ${line}`).join('\n')}`;
}
