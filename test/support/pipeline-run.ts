import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { DataError } from '../../src/diagnostics/errors.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { readMetricsFile } from '../../src/stage/metrics-file.ts';

export interface PipelineRun {
  /** One of the project's own: `mobilenet`. */
  readonly pipeline: string;
  /** Everything it needs is run too. */
  readonly stage: string;
  readonly profile?: string;
  readonly settings: Readonly<Record<string, string>>;
}

/** Reads a number of a stage's metrics. */
export type MetricReader = (stage: string, name: string) => Promise<number>;

/** Runs a pipeline as a user does, in a project of its own without a cache, and hands out its metrics. */
export async function runPipeline<T>(
  { pipeline, stage, profile, settings }: PipelineRun,
  use: (metricOf: MetricReader) => Promise<T>,
): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), 'drq-pipeline-'));
  const checkout = packageRoot();
  try {
    await execa(
      process.execPath,
      [
        join(checkout, 'src', 'cli', 'drq.js'),
        ...['run', join(checkout, 'pipelines', `${pipeline}.yaml`), stage, '--root', root],
        ...(profile === undefined ? [] : ['--profile', profile]),
        ...Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
      ],
      { stdout: 'ignore', stderr: 'inherit' },
    );
    return await use(async (metricStage, name) => {
      const path = join(root, 'artifacts', 'outputs', pipeline, metricStage, 'metrics.json');
      const found = (await readMetricsFile(path)).values.find((value) => value.name === name);
      if (typeof found?.value === 'number') return found.value;
      throw new DataError({
        code: 'benchmark/no-metric',
        message: `${path} holds no number "${name}"`,
      });
    });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
