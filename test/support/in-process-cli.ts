import { PassThrough } from 'node:stream';
import { parseCommandLine } from '../../src/cli/command-line.ts';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { reportError } from '../../src/cli/report-error.ts';
import { UsageError } from '../../src/diagnostics/errors.ts';
import type { CliResult } from './rig.ts';

/**
 * One command line in this process, with what it prints collected: what `main` does but for signals.
 * Starting node costs a hundred times what most commands do.
 */
export async function runInProcess(cwd: string, ...argv: readonly string[]): Promise<CliResult> {
  let out = '';
  let err = '';
  const stdout = new PassThrough().setEncoding('utf8');
  const stderr = new PassThrough().setEncoding('utf8');
  stdout.on('data', (text: string) => (out += text));
  stderr.on('data', (text: string) => (err += text));
  const writeTo = (stream: PassThrough) => (text: string) => {
    stream.write(text.endsWith('\n') ? text : `${text}\n`);
  };
  const context: CommandContext = {
    cwd,
    signal: new AbortController().signal,
    stdout,
    stderr,
    print: writeTo(stdout),
    say: writeTo(stderr),
    stdoutWidth: null,
  };
  const exitCode = await callCommand(argv, context);
  await new Promise(setImmediate); // the streams hand over what they have
  return { exitCode, stdout: out, stderr: err };
}

async function callCommand(argv: readonly string[], context: CommandContext): Promise<number> {
  try {
    const parsed = await parseCommandLine(argv, () => '0.0.0');
    if (parsed.type === 'error') throw new UsageError(parsed.error);
    if (parsed.type !== 'command') return parsed.type === 'text' ? 0 : 2;
    const handler = await parsed.command.load();
    return await handler({ arguments: parsed.arguments, options: parsed.options, context });
  } catch (error) {
    return await reportError(error, (text) => context.say(text));
  }
}
