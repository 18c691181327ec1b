import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { compareCodeUnits } from './canonical-json.ts';
import { pipelineLockSchema, type LockedStage, type PipelineLock } from './pipeline-lock.ts';
import { isAbsent } from './system-error.ts';

/** `experiments/<pipeline>/lock.yaml` of a project. */
export function pipelineLockPath(projectRoot: string, pipelineName: string): string {
  return join(projectRoot, 'experiments', pipelineName, 'lock.yaml');
}

/** What the pipeline's stages last were; null before its first run. @throws DataError `lock/invalid` */
export async function readPipelineLock(
  projectRoot: string,
  pipelineName: string,
): Promise<PipelineLock | null> {
  const path = pipelineLockPath(projectRoot, pipelineName);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    // A file in place of a folder is reported where something is written.
    if (isAbsent(error)) return null;
    throw error;
  }
  return parsePipelineLock(text, relative(process.cwd(), path));
}

/**
 * A lock file's content; `shownName` stands in messages, `hint` says what to do where it is none.
 * @throws DataError `lock/invalid`
 */
export function parsePipelineLock(
  text: string,
  shownName: string,
  hint = 'take it back from version control, or delete it: the next run writes it again',
): PipelineLock {
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) throw invalidLock(shownName, hint, problem);
  const content: unknown = document.toJS();
  const lacking = ['format', 'pipeline'].find((key) => !isObjectWith(content, key));
  if (lacking !== undefined) {
    throw new DataError({
      code: 'lock/invalid',
      message: `${shownName} is no lock file: it has no "${lacking}"`,
      hint,
    });
  }
  const parsed = pipelineLockSchema.safeParse(content);
  if (!parsed.success) throw invalidLock(shownName, hint, parsed.error);
  return parsed.data;
}

function isObjectWith(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key);
}

/** The text of a lock file: sorted by code unit throughout, so that a diff shows only real changes. */
export function formatPipelineLock(lock: PipelineLock): string {
  const stages = sortedEntries(lock.stages).map(([id, stage]) => [id, inOrder(stage)]);
  const header = '# Written by drq: what every stage was made of and what came out. Commit it.\n';
  return (
    header +
    stringify(
      {
        format: lock.format,
        pipeline: lock.pipeline,
        profile: lock.profile,
        stages: Object.fromEntries(stages) as unknown,
      },
      { lineWidth: 0, aliasDuplicateObjects: false },
    )
  );
}

function inOrder(stage: LockedStage): unknown {
  return {
    key: stage.key,
    kind: stage.kind,
    version: stage.version,
    parameters: sortedDeep(stage.parameters),
    inputs: sortedDeep(stage.inputs),
    runtimes: sortedDeep(stage.runtimes),
    ...(stage.source === undefined ? {} : { source: stage.source }),
    ...(stage.machine === undefined ? {} : { machine: stage.machine }),
    outputs: Object.fromEntries(
      sortedEntries(stage.outputs).map(([name, { kind, digest, sizeBytes }]) => [
        name,
        { kind, digest, sizeBytes },
      ]),
    ),
    metrics: sortedDeep(stage.metrics),
  };
}

function sortedDeep(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedDeep);
  if (typeof value !== 'object' || value === null) return value;
  const entries = sortedEntries(value as Record<string, unknown>); // plain data, no array
  return Object.fromEntries(entries.map(([key, item]) => [key, sortedDeep(item)]));
}

function sortedEntries<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => compareCodeUnits(a, b));
}

function invalidLock(shownName: string, hint: string, cause: z.ZodError | Error): DataError {
  const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : firstLine(cause.message);
  return new DataError({
    code: 'lock/invalid',
    message: `${shownName} is not a lock file of this version of drq: ${reason}`,
    hint,
    cause,
  });
}

/** The parser shows an excerpt below it. */
function firstLine(message: string): string {
  return message.split('\n')[0]?.replace(/:$/, '') ?? message;
}
