import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { reportError } from '../../src/cli/report-error.ts';
import { listImageFiles } from '../../src/data/list-image-files.ts';
import { UsageError } from '../../src/diagnostics/errors.ts';
import { renderBoxTable } from '../../src/tables/terminal.ts';

/** Says one line of progress; the table and the JSON alone go to standard output. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Runs a benchmark's main function; its errors are told as `drq` tells its own. */
export async function runProgramMain(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    process.exitCode = await reportError(asUsageError(error) ?? error, say);
  }
}

/** Rows with the same keys as a table; cells that begin with a digit stand right. */
export function renderRows(rows: readonly Readonly<Record<string, string | number>>[]): string {
  return renderBoxTable(
    Object.keys(rows[0] ?? {}).map((title) => {
      const cells = rows.map((row) => String(row[title] ?? ''));
      const isNumeric = cells.every((cell) => cell === '' || /^-?\d/.test(cell));
      return { title, kind: isNumeric ? ('number' as const) : ('text' as const), cells };
    }),
  );
}

/** The folder that an option names, as an absolute path. */
export function requiredFolder(option: string, value: string | undefined): string {
  if (value === undefined) {
    throw new UsageError({
      code: 'usage/missing-option',
      message: `${option} FOLDER is needed`,
      hint: '`npm run bench` says what each benchmark takes',
    });
  }
  const folder = userPath(value);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError({
      code: 'usage/no-folder',
      message: `${option}: there is no folder ${folder}`,
      hint: 'give the folder of the data; a relative path is taken from where you stand',
    });
  }
  return folder;
}

/** A path as the user means it: npm changes to the checkout, whatever folder the command is given in. */
export function userPath(value: string): string {
  return resolve(process.env['INIT_CWD'] ?? '', value);
}

/** Paths of all photographs below a folder, at least one. */
export async function requiredImages(folder: string): Promise<string[]> {
  const files = await listImageFiles(folder);
  if (files.length > 0) return files.map((file) => join(folder, file));
  throw new UsageError({
    code: 'usage/no-images',
    message: `there is no photograph in ${folder} or its sub-folders`,
  });
}

/** A whole number from 1 up out of an option's text. */
export function positiveInteger(option: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new UsageError({
    code: 'usage/invalid-number',
    message: `${option} must be a whole number from 1 up, received "${text}"`,
  });
}

/** What `parseArgs` says of options it does not know is the user's mistake, not a bug. */
function asUsageError(error: unknown): UsageError | undefined {
  if (!(error instanceof TypeError) || !('code' in error)) return undefined;
  if (!String(error.code).startsWith('ERR_PARSE_ARGS_')) return undefined;
  return new UsageError({
    code: 'usage/invalid-option',
    message: error.message.split('. ')[0] ?? error.message,
    hint: '`npm run bench` says what each benchmark takes',
  });
}
