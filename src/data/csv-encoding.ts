import { isUtf8 } from 'node:buffer';
import { DataError } from '../diagnostics/errors.ts';

/**
 * The text of a CSV. In another encoding every letter outside ASCII would become one and the same
 * mark, and classes whose names differ in such a letter would become one class.
 *
 * @throws DataError `data/invalid-csv` when the bytes are not UTF-8
 */
export function decodeUtf8(bytes: Buffer, shownName: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const reason =
    findUtf16(bytes) === null
      ? `line ${findForeignLine(bytes)} is not UTF-8 text`
      : 'it is UTF-16 text, not UTF-8';
  throw new DataError({
    code: 'data/invalid-csv',
    message: `${shownName} cannot be read as CSV: ${reason}`,
    hint: 'save the file in UTF-8: in Excel as "CSV UTF-8", elsewhere with the encoding (character set) UTF-8',
  });
}

/** The text as far as it can be told, for finding out what a file is. */
export function decodeLeniently(bytes: Buffer): string {
  return new TextDecoder(findUtf16(bytes) ?? 'utf-8').decode(bytes);
}

/** By the byte order mark, which UTF-8 text cannot start with. */
function findUtf16(bytes: Buffer): 'utf-16le' | 'utf-16be' | null {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  return null;
}

/** The first line that is not UTF-8, counted from 1; no character of UTF-8 reaches over a line's end. */
function findForeignLine(bytes: Buffer): number {
  let line = 1;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf('\n', start);
    if (end < 0 || !isUtf8(bytes.subarray(start, end))) return line;
    start = end + 1;
    line += 1;
  }
}
