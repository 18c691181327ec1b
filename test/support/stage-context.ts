import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { z } from 'zod';
import { ARTIFACT_KINDS, type ArtifactKind, type Digest } from '../../src/stage/artifact.ts';
import type {
  AnyStageDefinition,
  ProgressUpdate,
  StageContext,
} from '../../src/stage/definition.ts';

export interface StageRun {
  readonly outputs: Readonly<Record<string, string>>;
  readonly scratchPath: string;
  readonly progress: readonly ProgressUpdate[];
  readonly logLines: readonly string[];
  readonly warnings: readonly string[];
  readonly notices: readonly string[];
}

export interface StageRunOptions {
  readonly parameters?: unknown;
  /** Name → kind and path. */
  readonly inputs: Readonly<Record<string, { readonly kind: ArtifactKind; readonly path: string }>>;
  /** Only for stages whose outputs the pipeline declares: name → kind, and where it is written. */
  readonly outputs?: Readonly<
    Record<string, { readonly kind: ArtifactKind; readonly path?: string }>
  >;
  readonly cpuCount?: number;
  readonly signal?: AbortSignal;
  /** Left out: one of its own that nothing is in. */
  readonly checkpointPath?: string;
}

/** A folder that is removed when the test ends. */
export async function temporaryFolder(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-test-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a stage as the engine does, in a temporary folder, and tells what it reported. */
export async function runStage(
  test: TestContext,
  definition: AnyStageDefinition,
  options: StageRunOptions,
): Promise<StageRun> {
  const folder = await temporaryFolder(test);
  const scratchPath = join(folder, 'scratch');
  await mkdir(scratchPath);
  const declared: Readonly<
    Record<string, { readonly kind: ArtifactKind; readonly path?: string }>
  > = definition.outputs === 'declared-by-pipeline' ? (options.outputs ?? {}) : definition.outputs;
  const outputs: Record<string, string> = {};
  const declaredOutputPaths: Record<string, string> = {};
  for (const [name, output] of Object.entries(declared)) {
    const { form, suffix } = ARTIFACT_KINDS[output.kind];
    const path = join(folder, 'outputs', `${name}${suffix}`);
    outputs[name] = path;
    await mkdir(form === 'folder' ? path : join(folder, 'outputs'), { recursive: true });
    if (output.path !== undefined) declaredOutputPaths[name] = output.path;
  }
  const progress: ProgressUpdate[] = [];
  const logLines: string[] = [];
  const warnings: string[] = [];
  const notices: string[] = [];
  const inputs = Object.fromEntries(
    Object.entries(options.inputs).map(([name, { kind, path }]) => [
      name,
      { kind, path, digest: '0'.repeat(64) as Digest }, // stages do not look at digests
    ]),
  );
  // AnyStageDefinition hides the schema's type behind `any`.
  const context: StageContext<unknown> = {
    progress: (update) => progress.push(update),
    log: (line) => logLines.push(line),
    warn: (message) => warnings.push(message),
    notice: (message) => notices.push(message),
    signal: options.signal ?? new AbortController().signal,
    stageId: definition.kind,
    parameters: (definition.parameters as z.ZodObject).parse(options.parameters ?? {}),
    inputs,
    outputs,
    declaredOutputPaths,
    scratchPath,
    checkpointPath: options.checkpointPath ?? join(folder, 'checkpoints'),
    resources: { cpuCount: options.cpuCount ?? 1 },
    projectRoot: folder,
  };
  await definition.run(context);
  return { outputs, scratchPath, progress, logLines, warnings, notices };
}
