import { spawn } from 'node:child_process';
import process from 'node:process';

const KEPT_OUTPUT_CHARACTERS = 20_000;
/** npm ends what it has begun before it heeds SIGTERM; what it leaves half-done is healed anyway. */
const GRACE_MS = 5_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a program with an argument array, never through a shell, and never throws: returns
 * `{ code, output, startError, timedOut }`. The child ends when this process is asked to end.
 */
export function runProgram(program, programArguments, options = {}) {
  const { cwd, env = process.env, stdio = 'collect', timeoutMs } = options;
  return new Promise((resolve) => {
    const inherited = stdio === 'inherit';
    const child = spawn(program, programArguments, {
      cwd,
      env,
      stdio: inherited ? 'inherit' : ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    });
    let output = '';
    let timedOut = false;
    const collect = (chunk) => {
      output = (output + chunk).slice(-KEPT_OUTPUT_CHARACTERS);
    };
    child.stdout?.setEncoding('utf8').on('data', collect);
    child.stderr?.setEncoding('utf8').on('data', collect);

    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            child.kill('SIGKILL');
          }, timeoutMs);
    const stop = forwardSignals(child);
    const finish = (result) => {
      clearTimeout(timer);
      stop();
      resolve({ output, timedOut, ...result });
    };
    child.once('error', (startError) => finish({ code: 127, startError }));
    child.once('close', (code, signal) => finish({ code: code ?? signalExitCode(signal) }));
  });
}

/** Last lines of a program's output, indented, for an error message. */
export function lastLines(output, count = 12) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(-count)
    .map((line) => `    ${line}`)
    .join('\n');
}

/** Arguments that start npm with the Node that runs now: `[program, …arguments]`. */
export function npmCommand() {
  const script = process.env['npm_execpath'];
  if (script !== undefined && /npm-cli\.c?js$/.test(script)) return [process.execPath, script];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}

/** Ends the child with this process: a set-up left running would write beside the next one. */
function forwardSignals(child) {
  const handlers = SIGNALS.map((signal) => {
    const handler = () => {
      child.kill(signal);
      setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
      child.once('close', () => process.exit(signalExitCode(signal)));
    };
    process.once(signal, handler);
    return [signal, handler];
  });
  return () => {
    for (const [signal, handler] of handlers) process.removeListener(signal, handler);
  };
}

function signalExitCode(signal) {
  return signal === 'SIGINT' ? 130 : signal === 'SIGTERM' ? 143 : 1;
}
