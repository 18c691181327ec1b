import type { Writable } from 'node:stream';

export type TextOutput = Pick<Writable, 'write'>;

/**
 * Calls `use` with a stdout of its own: what anything else in this process prints there meanwhile, such as a
 * stage kind of the user's own, goes to stderr, so that it does not come between what programs read.
 */
export async function reserveStdout<T>(use: (stdout: TextOutput) => Promise<T>): Promise<T> {
  const { stdout, stderr } = process;
  const write = stdout.write.bind(stdout);
  const diverted = stderr.write.bind(stderr);
  stdout.write = diverted;
  try {
    return await use({ write });
  } finally {
    if (stdout.write === diverted) stdout.write = write;
  }
}
