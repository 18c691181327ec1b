import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { runPipeline, type RunOptions } from '../../src/execute/run-pipeline.ts';
import type { RunRecord } from '../../src/execute/run-record.ts';
import type {
  JsonObject,
  NodeInput,
  Pipeline,
  StageId,
  StageNode,
} from '../../src/pipeline/spec.ts';
import type { RunEvent } from '../../src/report/run-event.ts';
import type { ArtifactKind, Digest } from '../../src/stage/artifact.ts';
import {
  defineStage,
  type AnyStageDefinition,
  type StageContext,
} from '../../src/stage/definition.ts';

const range = { file: 'pipeline.yaml', start: 0, end: 0 };

export type TinyParameters = Record<string, unknown>;

/** What a stage of a tiny pipeline is made of; everything but the name has a default. */
export interface TinyStage {
  readonly name: string;
  readonly parameters?: JsonObject;
  /** Input name → `stage` (its output `out`), `stage.output`, or an absolute path. */
  readonly inputs?: Readonly<Record<string, string>>;
  readonly outputs?: Readonly<Record<string, ArtifactKind>>;
  readonly run?: (context: StageContext<TinyParameters>) => Promise<void>;
  readonly definition?: Partial<AnyStageDefinition>;
  readonly node?: Partial<StageNode>;
}

/** A pipeline object as the parser would make it, with stage kinds defined in the test. */
export function tinyPipeline(projectRoot: string, stages: readonly TinyStage[]): Pipeline {
  const nodes = new Map<StageId, StageNode>();
  for (const stage of stages) nodes.set(stage.name as StageId, nodeOf(stage, nodes));
  return {
    name: 'tiny',
    description: '',
    filePath: join(projectRoot, 'tiny.yaml'),
    projectRoot,
    profile: null,
    vars: {},
    graph: { nodes },
    tables: [],
    reference: null,
  };
}

function nodeOf(stage: TinyStage, nodes: ReadonlyMap<StageId, StageNode>): StageNode {
  const outputs = stage.outputs ?? { out: 'file' as const };
  const definition: AnyStageDefinition = {
    ...defineStage({
      kind: `kind-of-${stage.name}`,
      version: 1,
      description: 'A stage of a test.',
      parameters: z.looseObject({}),
      inputs: 'declared-by-pipeline',
      outputs: Object.fromEntries(
        Object.entries(outputs).map(([name, kind]) => [name, { kind, description: '' }]),
      ),
      runtimes: [],
      cache: 'content',
      scheduling: 'parallel',
      defaultCpuCount: 1,
      isolation: 'in-process',
      run: stage.run ?? (() => Promise.reject(new Error('no run given'))),
    }),
    ...stage.definition,
  };
  return {
    id: stage.name as StageId,
    stageName: stage.name,
    cell: {},
    definition,
    parameters: stage.parameters ?? {},
    inputs: Object.fromEntries(
      Object.entries(stage.inputs ?? {}).map(([name, source]) => [name, inputOf(source, nodes)]),
    ),
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, kind]) => [name, { kind }])),
    resources: { cpuCount: 1 },
    range,
    ...stage.node,
  };
}

function inputOf(source: string, nodes: ReadonlyMap<StageId, StageNode>): NodeInput {
  if (source.startsWith('/')) return { from: 'path', absolutePath: source, range };
  const [stageId = '', output = 'out'] = source.split('.');
  const kind = nodes.get(stageId as StageId)?.outputs[output]?.kind ?? 'file';
  return { from: 'stage', stageId: stageId as StageId, output, kind };
}

export interface TinyRun {
  readonly record: RunRecord;
  readonly events: readonly RunEvent[];
  /** `run a  never run`, in the order things started. */
  readonly lines: readonly string[];
}

export const tinyOptions: RunOptions = {
  stages: [],
  jobs: 2,
  force: false,
  keepGoing: false,
  coreCount: 2,
  machineFingerprint: () => Promise.resolve('0'.repeat(64) as Digest),
};

/** Runs a pipeline and keeps all events. */
export async function runTiny(
  pipeline: Pipeline,
  options: Partial<RunOptions> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<TinyRun> {
  const events: RunEvent[] = [];
  const reporter = {
    report: (event: RunEvent) => void events.push(event),
    close: () => undefined,
  };
  const record = await runPipeline(pipeline, { ...tinyOptions, ...options }, reporter, signal);
  const lines = events.flatMap((event) =>
    event.type === 'stage-started'
      ? [`${event.action} ${event.stageId}  ${event.reason}`.trim()]
      : [],
  );
  return { record, events, lines };
}

/** A folder that is removed when the test ends, as a project root. */
export async function temporaryProject(test: {
  after: (action: () => Promise<void>) => void;
}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-engine-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The text of all inputs, by name, joined by `+`. */
export async function readInputs(context: StageContext<TinyParameters>): Promise<string> {
  const names = Object.keys(context.inputs).sort();
  const texts = await Promise.all(
    names.map((name) => readFile(context.inputs[name]?.path ?? '', 'utf8')),
  );
  return texts.join('+');
}

/** Three stages in a row; `upper` writes the same bytes for `a` and `A`. */
export function chain(text: string, suffix = '!'): TinyStage[] {
  return [
    {
      name: 'source',
      parameters: { text },
      run: ({ outputs, parameters }) => writeFile(outputs['out'] ?? '', String(parameters['text'])),
    },
    {
      name: 'upper',
      inputs: { in: 'source' },
      run: async (context) =>
        writeFile(context.outputs['out'] ?? '', (await readInputs(context)).toUpperCase()),
    },
    {
      name: 'suffix',
      parameters: { suffix },
      inputs: { in: 'upper' },
      run: async (context) =>
        writeFile(
          context.outputs['out'] ?? '',
          (await readInputs(context)) + String(context.parameters['suffix']),
        ),
    },
  ];
}
