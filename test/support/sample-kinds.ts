import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Diagnostic, Result } from '../../src/diagnostics/diagnostic.ts';
import { renderDiagnostics } from '../../src/diagnostics/render.ts';
import { loadPipeline } from '../../src/graph/load-pipeline.ts';
import type { Pipeline } from '../../src/pipeline/spec.ts';
import { defineStage, type AnyStageDefinition } from '../../src/stage/definition.ts';

const common = {
  version: 1,
  runtimes: [],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 1,
  isolation: 'in-process',
  run: () => Promise.resolve(),
} as const;

const source = defineStage({
  ...common,
  kind: 'source',
  description: 'Reads images.',
  parameters: z.strictObject({
    imageCount: z.int().min(1).default(10).describe('Images drawn.'),
    layout: z.enum(['auto', 'folders', 'csv']).default('auto').describe('How they lie.'),
  }),
  inputs: {
    folder: { kinds: ['file', 'folder'], optional: true, description: 'Images of your own.' },
  },
  inputsNeededBy: ({ layout }, written) =>
    layout === 'folders' || (layout === 'auto' && written.has('layout'))
      ? [{ input: 'folder', because: `layout ${layout}` }]
      : [],
  outputs: { dataset: { kind: 'dataset', description: 'The images.' } },
});

const fit = defineStage({
  ...common,
  kind: 'fit',
  description: 'Trains a model.',
  parameters: z.strictObject({
    architecture: z.enum(['small', 'large']).describe('Which network.'),
    epochs: z.int().min(1).default(5).describe('Passes over the images.'),
    learningRate: z.number().positive().default(0.01).describe('Step of the optimizer.'),
    schedule: z
      .strictObject({
        milestones: z.array(z.int()).default([]).describe('Epochs after which it drops.'),
        factor: z.number().default(0.1).describe('By what it drops.'),
      })
      .default({ milestones: [], factor: 0.1 })
      .describe('Learning rate schedule.'),
    note: z.string().exactOptional().describe('A remark.'),
  }),
  inputs: {
    images: { kinds: ['dataset'], description: 'What to learn.' },
    initial: { kinds: ['model/onnx', 'file'], optional: true, description: 'Where to start.' },
  },
  outputs: {
    model: { kind: 'model/onnx', description: 'The network.' },
    history: { kind: 'history', description: 'One row an epoch.' },
  },
});

const calibrate = defineStage({
  ...common,
  kind: 'calibrate',
  description: 'Collects ranges.',
  parameters: z.strictObject({
    imageCount: z.int().min(1).default(16).describe('Images looked at.'),
    method: z.enum(['min-max', 'percentile']).default('min-max').describe('How.'),
  }),
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The float model.' },
    images: { kinds: ['dataset'], description: 'What it sees.' },
  },
  outputs: { table: { kind: 'calibration-table', description: 'Ranges.' } },
});

const quantize = defineStage({
  ...common,
  kind: 'quantize',
  description: 'Makes an int8 model.',
  parameters: z.strictObject({
    granularity: z
      .enum(['per-tensor', 'per-channel'])
      .default('per-channel')
      .describe('Scales of weights.'),
  }),
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The float model.' },
    calibration: { kinds: ['calibration-table'], description: 'Its ranges.' },
  },
  outputs: {
    model: { kind: 'model/onnx', description: 'The int8 model.' },
    report: { kind: 'metrics', description: 'What was quantized.' },
  },
});

const score = defineStage({
  ...common,
  kind: 'score',
  description: 'Scores models.',
  scheduling: 'alone',
  defaultCpuCount: 'all',
  parameters: z.strictObject({ topK: z.int().default(1).describe('Classes that may hit.') }),
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The model.' },
    baseline: { kinds: ['model/onnx'], optional: true, description: 'Compared with.' },
    images: { kinds: ['dataset'], optional: true, description: 'What it is scored on.' },
  },
  outputs: {
    metrics: { kind: 'metrics', description: 'Figures.' },
    predictions: { kind: 'predictions', description: 'One row an image.' },
  },
});

const program = defineStage({
  ...common,
  kind: 'program',
  description: 'Runs a program.',
  parameters: z.strictObject({
    program: z.string().min(1).describe('Name on PATH.'),
    arguments: z.array(z.string()).default([]).describe('Given as they are.'),
  }),
  inputs: 'declared-by-pipeline',
  outputs: 'declared-by-pipeline',
});

/** A few stage kinds that do nothing, for tests of what happens before anything runs. */
export const SAMPLE_KINDS: ReadonlyMap<string, AnyStageDefinition> = new Map(
  [source, fit, calibrate, quantize, score, program].map((each): [string, AnyStageDefinition] => [
    each.kind,
    each,
  ]),
);

export interface LoadTextOptions {
  readonly profile?: string;
  readonly sets?: readonly string[];
  /** Files beside the pipeline: name → content. */
  readonly files?: Readonly<Record<string, string>>;
  /** Below the project; left out: the project itself. */
  readonly cwd?: string;
}

/** Loads a pipeline from text as `p.yaml` in a project of its own; `folder` is gone afterwards. */
export async function loadText(
  text: string | Uint8Array,
  options: LoadTextOptions = {},
): Promise<{ readonly result: Result<Pipeline, Diagnostic[]>; readonly folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-pipeline-'));
  try {
    await writeFile(join(folder, 'p.yaml'), text);
    for (const [name, content] of Object.entries(options.files ?? {})) {
      await writeFile(join(folder, name), content);
    }
    const result = await loadPipeline(join(folder, 'p.yaml'), {
      registry: SAMPLE_KINDS,
      root: folder,
      sets: options.sets ?? [],
      cwd: join(folder, options.cwd ?? '.'),
      ...(options.profile === undefined ? {} : { profile: options.profile }),
    });
    return { result, folder };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The pipeline of a text that must be valid. */
export async function loadValid(text: string, options: LoadTextOptions = {}): Promise<Pipeline> {
  const { result } = await loadText(text, options);
  if (result.ok) return result.value;
  throw new Error(renderDiagnostics(result.error, () => text));
}

/** Everything reported for a text that must not be valid, as the user sees it; the folder shown as `PROJECT`. */
export async function problemsOf(text: string, options: LoadTextOptions = {}): Promise<string> {
  const { result, folder } = await loadText(text, options);
  if (result.ok) throw new Error('the pipeline is valid');
  return renderDiagnostics(result.error, () => text, folder).replaceAll(folder, 'PROJECT');
}
