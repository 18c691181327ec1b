import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { ARTIFACT_KINDS } from '../stage/artifact.ts';
import type { Digest } from '../stage/artifact.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';
import { expectation } from '../diagnostics/issue-wording.ts';
import { whileLoadingKind } from './loading-kinds.ts';

export interface OwnKind {
  readonly definition: AnyStageDefinition;
  readonly modulePath: string;
  readonly sourceDigest: Digest;
}

/** What is wrong with a module and, where that is clear, what to do. */
export interface UnusableKind {
  readonly reason: string;
  readonly hint?: string;
}

/** Loads a stage kind of the user's own from an absolute path; `reason` says what is wrong with it. */
export async function loadOwnKind(modulePath: string): Promise<OwnKind | UnusableKind> {
  const sourceDigest = await digestOf(modulePath);
  if (typeof sourceDigest !== 'string') return sourceDigest;
  let loaded: unknown;
  try {
    // The query keeps a long-lived process from getting an older version of the file.
    const url = `${pathToFileURL(modulePath).href}?digest=${sourceDigest}`;
    loaded = await whileLoadingKind(modulePath, async () => (await import(url)) as unknown);
  } catch (error) {
    return {
      reason: `it cannot be loaded: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}${placeOf(error, modulePath)}`,
      ...(isReadAsCommonJs(error) ? { hint: MODULE_HINT } : {}),
    };
  }
  const definition = (loaded as { readonly default?: unknown }).default;
  if (definition === undefined) {
    return { reason: 'it has no default export; export default defineStage({ … })' };
  }
  if (typeof definition !== 'object' || definition === null) {
    return { reason: 'its default export must be an object made by defineStage({ … })' };
  }
  const checked = definitionSchema.safeParse(definition);
  if (!checked.success) {
    const problems = checked.error.issues.map((issue) => {
      const place = issue.path.join('.');
      return issue.code === 'unrecognized_keys'
        ? `"${place === '' ? '' : `${place}.`}${issue.keys.join('", "')}" is not known`
        : `"${place}" ${expectation(issue)}`;
    });
    return { reason: `its default export is not a stage kind: ${problems.join('; ')}` };
  }
  // The key names the source by this digest, and node has read the file once more in between.
  if ((await digestOf(modulePath)) !== sourceDigest) {
    return { reason: `${modulePath} changed while it was being loaded`, hint: 'run again' };
  }
  // Just checked; the object itself is kept, because its functions may use `this`.
  return { definition: definition as AnyStageDefinition, modulePath, sourceDigest };
}

async function digestOf(modulePath: string): Promise<Digest | UnusableKind> {
  try {
    const source = await readFile(modulePath);
    // A SHA-256 in lower-case hexadecimal is what the brand stands for.
    return createHash('sha256').update(source).digest('hex') as Digest;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return {
      reason:
        code === 'ENOENT'
          ? `there is no file ${modulePath}`
          : `${modulePath} cannot be read (${code})`,
    };
  }
}

const MODULE_HINT = 'name it .mjs, or write "type": "module" into package.json';

/** Node takes a `.js` file for CommonJS where package.json says so. */
function isReadAsCommonJs(error: unknown): boolean {
  return (
    error instanceof SyntaxError &&
    /import statement outside a module|Unexpected token 'export'/.test(error.message)
  );
}

/** ` (x.js:3)`: the line an error thrown while loading comes from; V8 keeps that of a syntax error back. */
function placeOf(error: unknown, modulePath: string): string {
  if (error instanceof SyntaxError)
    return ` (\`node --check ${basename(modulePath)}\` shows where)`;
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const line = /\?digest=[0-9a-f]{64}:(\d+)/.exec(stack)?.[1];
  return line === undefined ? '' : ` (${basename(modulePath)}:${line})`;
}

const callable = z.custom<unknown>((value) => typeof value === 'function', 'must be a function');
const kinds = z.enum(Object.keys(ARTIFACT_KINDS));
const declared = z.literal('declared-by-pipeline');

const definitionSchema = z.strictObject({
  kind: z.string().min(1),
  version: z.int().min(1),
  description: z.string(),
  // By what it can do, not by its class: the module may have a zod of its own.
  parameters: z.custom<unknown>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      'safeParse' in value &&
      typeof value.safeParse === 'function' &&
      'shape' in value,
    'must be a z.strictObject({ … }) of zod 4',
  ),
  inputs: z.union([
    declared,
    z.record(
      z.string(),
      z.strictObject({
        kinds: z.array(kinds).min(1),
        optional: z.boolean().optional(),
        description: z.string(),
      }),
    ),
  ]),
  outputs: z.union([
    declared,
    z.record(z.string(), z.strictObject({ kind: kinds, description: z.string() })),
  ]),
  runtimes: z.array(z.enum(['onnxruntime-node', '@tensorflow/tfjs-node', 'sharp'])),
  cache: z.enum(['content', 'per-machine']),
  scheduling: z.enum(['parallel', 'alone']),
  defaultCpuCount: z.union([z.int().min(1), z.literal('all')]),
  isolation: z.enum(['in-process', 'process']),
  abortGraceMs: z.number().min(0).optional(),
  inputsNeededBy: callable.optional(),
  environment: callable.optional(),
  nodeFlags: z.array(z.string().min(1)).optional(),
  run: callable,
} satisfies Record<keyof AnyStageDefinition, z.ZodType>);
