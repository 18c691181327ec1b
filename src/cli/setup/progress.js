import process from 'node:process';

const PLAIN_INTERVAL_MS = 10_000;
const TERMINAL_INTERVAL_MS = 200;

/** Writes one line for people; standard output is left to results. */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Seconds as people read them: `0.4 s`, `12 s`, `1 min 5 s`. */
export function formatSeconds(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const rounded = Math.round(seconds);
  return `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
}

/** Bytes in decimal megabytes, as download sizes are given. */
export function formatMegabytes(bytes) {
  return `${Math.round(bytes / 1e6)} MB`;
}

/**
 * Runs one long step under a line that shows its time: rewritten in place on a terminal, a line
 * every ten seconds elsewhere. `detail` may return what has been reached, for instance megabytes.
 */
export async function withProgress(title, run, detail = () => '') {
  const startedAt = Date.now();
  const onTerminal = process.stderr.isTTY === true;
  const state = () => {
    const reached = detail();
    const time = formatSeconds(Date.now() - startedAt);
    return `setup: ${title} … ${reached === '' ? '' : `${reached}, `}${time}`;
  };
  if (!onTerminal) say(`setup: ${title} …`);
  const timer = setInterval(
    () => {
      if (onTerminal) process.stderr.write(`\r\x1b[2K${state()}`);
      else say(state());
    },
    onTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS,
  );
  timer.unref();
  try {
    const result = await run();
    if (onTerminal) process.stderr.write('\r\x1b[2K');
    say(`setup: ${title}: done in ${formatSeconds(Date.now() - startedAt)}`);
    return result;
  } catch (error) {
    if (onTerminal) process.stderr.write('\r\x1b[2K');
    say(`setup: ${title}: failed after ${formatSeconds(Date.now() - startedAt)}`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
