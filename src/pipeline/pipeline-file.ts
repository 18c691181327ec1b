import { readFile, stat } from 'node:fs/promises';
import { LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Alias, Document, ParsedNode, Scalar, YAMLMap, YAMLError } from 'yaml';
import { failure, success, type Diagnostic, type Result } from '../diagnostics/diagnostic.ts';
import type { Located, LocatedEntry, LocatedMap, LocatedScalar, Origin } from './located.ts';
import { Problems } from './problems.ts';
import { NAME_RULE } from './schema.ts';

/** A pipeline as text; offsets of every range count in `text`. */
export interface PipelineFile {
  readonly path: string;
  readonly text: string;
}

/** A hand-written pipeline is a few kilobytes; this much is surely another file given by mistake. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** Values that aliases may stand for in one file: far above use, far below what exhausts memory. */
const MAX_ALIASED_VALUES = 10_000;

/** Reads the text of a pipeline; `path` is absolute. */
export async function readPipelineFile(path: string): Promise<Result<PipelineFile, Diagnostic[]>> {
  const fail = (message: string, hint: string): Result<PipelineFile, Diagnostic[]> =>
    failure([
      {
        code: 'pipeline/unreadable',
        message,
        hint,
        range: { file: path, start: 0, end: 0 },
      },
    ]);
  let bytes: Buffer;
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) {
      return fail('this is a folder, not a pipeline file', 'name a YAML file inside it');
    }
    if (!stats.isFile()) {
      return fail('this is a pipe or a device, not a file', 'save the pipeline in a file first');
    }
    if (stats.size > MAX_FILE_BYTES) {
      return fail(
        `the file has ${stats.size} bytes; a pipeline may have at most ${MAX_FILE_BYTES}`,
        'is this the right file?',
      );
    }
    bytes = await readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? fail('there is no such file', 'the path is taken relative to the current folder')
      : fail(`the file cannot be read (${code})`, 'check its permissions');
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail('the file is not UTF-8 text', 'save it as UTF-8');
  }
  return success({ path, text });
}

/**
 * The file's top mapping with the place of every part, or undefined when its syntax is broken or it
 * is no mapping. Duplicate keys are reported and the first one is kept, so that checking can go on.
 */
export function parsePipelineText(file: PipelineFile, problems: Problems): LocatedMap | undefined {
  const lineCounter = new LineCounter();
  const document = parseDocument(file.text, {
    version: '1.2',
    schema: 'core',
    uniqueKeys: true,
    merge: false,
    prettyErrors: false,
    lineCounter,
  });
  const at = (start: number, end: number): Origin => ({
    from: 'file',
    range: { file: file.path, start, end },
  });
  if (reportYamlErrors(document, lineCounter, problems, at)) return undefined;
  if (document.contents === null || isEmptyScalar(document.contents)) {
    problems.add({
      code: 'pipeline/empty',
      message: 'the file is empty; a pipeline has at least "name" and "stages"',
      origin: at(0, 0),
    });
    return undefined;
  }
  const before = problems.count;
  const located = new Locator(document, problems, at).locate(document.contents);
  // What an alias stands for is unknown then, and much of the rest would be reported for it.
  if (problems.count > before) return undefined;
  if (located.type !== 'map') {
    problems.add({
      code: 'pipeline/invalid-value',
      message: 'a pipeline must be a mapping with at least "name" and "stages"',
      origin: located.origin,
    });
    return undefined;
  }
  return located;
}

/** A value given with `--set`: a YAML scalar or flow value. `reason` says what is wrong with it. */
export function parseOptionValue(
  text: string,
  origin: Origin,
): { readonly value: Located } | { readonly reason: string } {
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    prettyErrors: false,
  });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) return { reason: sentence(problem) };
  if (document.contents === null) {
    return { value: { type: 'scalar', value: null, origin } };
  }
  const problems = new Problems({ path: '', text: '' });
  const value = new Locator(document, problems, () => origin).locate(document.contents);
  const found = problems.sorted()[0];
  return found === undefined ? { value } : { reason: found.message };
}

/** Reports the document's errors; true when the rest of it cannot be trusted. */
function reportYamlErrors(
  document: Document,
  lineCounter: LineCounter,
  problems: Problems,
  at: (start: number, end: number) => Origin,
): boolean {
  let broken = false;
  let lastLine = -1;
  for (const error of [...document.errors, ...document.warnings]) {
    const [start, end] = error.pos;
    if (error.code === 'DUPLICATE_KEY') {
      problems.add({
        code: 'pipeline/duplicate-key',
        message: 'this key stands twice in the same mapping',
        origin: at(start, endOfKey(document, start) ?? end),
        hint: 'remove one of the two',
      });
      continue;
    }
    broken = true;
    const { line } = lineCounter.linePos(start);
    // A parser that has lost its way complains again at once: one mistake, one message.
    if (lastLine !== -1 && line <= lastLine + 1) continue;
    lastLine = line;
    problems.add({ code: 'pipeline/syntax', message: sentence(error), origin: at(start, end) });
  }
  return broken;
}

function sentence({ code, message }: YAMLError): string {
  if (code === 'MULTIPLE_DOCS') return 'the file holds several documents; a pipeline is one';
  return `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

/** The parser gives a duplicate key's first character only. */
function endOfKey(document: Document, start: number): number | undefined {
  const search = (node: unknown): number | undefined => {
    if (isMap<ParsedNode, ParsedNode>(node)) {
      for (const pair of node.items) {
        if (pair.key.range[0] === start) return pair.key.range[1];
        const found = search(pair.value);
        if (found !== undefined) return found;
      }
    } else if (isSeq(node)) {
      for (const item of node.items) {
        const found = search(item);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  };
  return search(document.contents);
}

function isEmptyScalar(node: unknown): boolean {
  return isScalar(node) && node.value === null && node.source === '';
}

/** Turns YAML nodes into located values, aliases replaced by what they stand for. */
class Locator {
  readonly #document: Document;
  readonly #problems: Problems;
  readonly #at: (start: number, end: number) => Origin;
  readonly #openAliases = new Set<unknown>();
  #aliasedCount = 0;

  constructor(document: Document, problems: Problems, at: (start: number, end: number) => Origin) {
    this.#document = document;
    this.#problems = problems;
    this.#at = at;
  }

  locate(node: unknown, key?: Origin): Located {
    if (isAlias(node)) return this.#locateAlias(node);
    if (this.#openAliases.size > 0) this.#aliasedCount += 1;
    if (isMap<ParsedNode, ParsedNode | null>(node)) return this.#locateMap(node);
    if (isSeq(node)) {
      const items = node.items.map((item) => this.locate(item));
      return { type: 'list', items, origin: this.#originOf(node) };
    }
    // An empty value has no text of its own: its key stands for it.
    const origin =
      key !== undefined && (node === null || isEmptyScalar(node)) ? key : this.#originOf(node);
    // The core schema knows no scalars but these; a key without ":" has no node.
    const value = isScalar(node) ? (node.value as LocatedScalar['value']) : null;
    return { type: 'scalar', value, origin };
  }

  #locateMap(node: YAMLMap<ParsedNode, ParsedNode | null>): LocatedMap {
    const entries = new Map<string, LocatedEntry>();
    for (const pair of node.items) {
      const key = this.#originOf(pair.key);
      if (!isScalar(pair.key)) {
        this.#problems.add({
          code: 'pipeline/invalid-value',
          message: 'a key must be plain text',
          origin: key,
        });
        continue;
      }
      const name = keyText(pair.key);
      if (name === '__proto__') {
        // No schema sees it: zod leaves it out, as a plain object cannot safely have it.
        this.#problems.add({
          code: 'pipeline/invalid-name',
          message: `the name "${name}" ${NAME_RULE}`,
          origin: key,
        });
        continue;
      }
      if (!entries.has(name)) entries.set(name, { key, value: this.locate(pair.value, key) });
    }
    return { type: 'map', entries, origin: this.#originOf(node) };
  }

  #locateAlias(alias: Alias): Located {
    const origin = this.#originOf(alias);
    const target = alias.resolve(this.#document);
    const refuse = (message: string): Located => {
      this.#problems.add({ code: 'pipeline/invalid-alias', message, origin });
      return { type: 'unknown', origin };
    };
    if (target === undefined) return refuse(`no anchor "&${alias.source}" stands above this`);
    if (this.#openAliases.has(target)) {
      return refuse(`the alias "*${alias.source}" stands inside what it refers to`);
    }
    if (this.#aliasedCount > MAX_ALIASED_VALUES) {
      // Said once: every further alias would say it again.
      return { type: 'unknown', origin };
    }
    this.#openAliases.add(target);
    const located = this.locate(target);
    this.#openAliases.delete(target);
    return this.#aliasedCount > MAX_ALIASED_VALUES && this.#openAliases.size === 0
      ? refuse(`aliases stand for more than ${MAX_ALIASED_VALUES} values`)
      : located;
  }

  #originOf(node: unknown): Origin {
    const range =
      typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
        ? (node.range as [number, number, number]) // what the parser sets on every node
        : ([0, 0, 0] as const);
    return this.#at(range[0], range[1]);
  }
}

function keyText(key: Scalar): string {
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value));
}
