import { readFileSync, statSync } from 'node:fs';
import { PipelineError } from '../diagnostics/errors.ts';
import { toDrqError } from '../execute/to-drq-error.ts';
import { systemErrorCode } from '../store/system-error.ts';

/** Says one error on stderr the way all are said, and returns its exit code. */
export async function reportError(thrown: unknown, say: (text: string) => void): Promise<number> {
  const error = toDrqError(thrown);
  if (error instanceof PipelineError) {
    const { renderDiagnostics } = await import('../diagnostics/render.ts');
    say(renderDiagnostics(error.diagnostics, readTextIfPresent));
  } else {
    say(`error ${error.code}: ${error.message}`);
    if (error.hint !== undefined) say(`hint: ${error.hint}`);
  }
  if (error.exitCode === 70 || process.env['DRQ_DEBUG'] === '1') say(describeStack(thrown));
  return error.exitCode;
}

/** Of a larger file the size is what is wrong. */
const MAX_EXCERPTED_BYTES = 2 ** 22;

/** What is wrong may be that the file cannot be read; the message is then shown without an excerpt. */
export function readTextIfPresent(file: string): string | undefined {
  try {
    const stats = statSync(file);
    if (!stats.isFile() || stats.size > MAX_EXCERPTED_BYTES) return undefined;
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}

function describeStack(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const lines = [thrown.stack ?? thrown.message];
  for (let cause = thrown.cause; cause instanceof Error; cause = cause.cause) {
    lines.push(`caused by: ${cause.stack ?? cause.message}`);
  }
  return lines.join('\n');
}
