export interface ImportLine {
  readonly specifier: string;
  /** Counted from 1. */
  readonly line: number;
  readonly form: 'value' | 'type' | 'dynamic';
}

const STATIC = /^[ \t]*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]*?\sfrom\s*)?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;

/** Every import of a source file, `export … from` included, as its text has it. */
export function importLines(text: string): ImportLine[] {
  // Scripts in template literals, as tests hold them, are no imports of the file.
  const code = blankOut(blankOut(text, /`(?:[^`\\]|\\.)*`/g), /\/\*[^]*?\*\//g);
  const lineOf = (offset: number): number => code.slice(0, offset).split('\n').length;
  const found: ImportLine[] = [];
  for (const match of code.matchAll(STATIC)) {
    const [whole, type, specifier = ''] = match;
    const form = type === undefined ? 'value' : 'type';
    found.push({ specifier, line: lineOf(match.index + whole.length), form });
  }
  for (const match of code.matchAll(DYNAMIC)) {
    found.push({ specifier: match[1] ?? '', line: lineOf(match.index), form: 'dynamic' });
  }
  return found;
}

/** Replaced by spaces, so that line numbers stay. */
function blankOut(text: string, pattern: RegExp): string {
  return text.replaceAll(pattern, (part) => part.replaceAll(/[^\n]/g, ' '));
}
