import { ownValue } from '../diagnostics/own-value.ts';
import type { MetricSource, Pipeline } from '../pipeline/spec.ts';
import { metricsFileSchema, type MetricsFile, type MetricValue } from '../stage/metrics-file.ts';
import type { LockedStage, PipelineLock } from '../store/pipeline-lock.ts';
import type { Store } from '../store/store.ts';
import { buildComparison, type ComparisonTable } from './comparison.ts';

export interface CollectOptions {
  readonly pipeline: Pipeline;
  readonly lock: PipelineLock | null;
  readonly store: Store;
  /** Cells whose recorded figures no longer hold, with the reason; their cells stay empty. */
  readonly withheld?: ReadonlyMap<string, string>;
  /** Cells of whose figures, which are shown, something is to be said. */
  readonly remarks?: ReadonlyMap<string, string>;
}

type Metrics = Pick<MetricsFile, 'values' | 'notes'>;

/** All tables of a pipeline, filled from the metrics that its lock names. */
export async function collectTables(options: CollectOptions): Promise<ComparisonTable[]> {
  const { pipeline, withheld, remarks } = options;
  const sources = pipeline.tables.flatMap(({ rows }) => rows.flatMap((row) => row.sources));
  const metrics = new Map<string, Metrics>();
  for (const source of sources) {
    const place = placeOf(source);
    if (metrics.has(place)) continue;
    const reason = withheld?.get(source.stageId);
    const remark = remarks?.get(source.stageId);
    const found =
      reason === undefined ? await readSource(source, options) : { values: [], notes: [reason] };
    if (remark !== undefined) {
      metrics.set(place, { values: found?.values ?? [], notes: [...(found?.notes ?? []), remark] });
    } else if (found !== null) {
      metrics.set(place, found);
    }
  }
  return pipeline.tables.map((table) =>
    buildComparison(table, pipeline.reference, (source) => metrics.get(placeOf(source)) ?? null),
  );
}

function placeOf({ stageId, output }: MetricSource): string {
  return `${stageId}/${output}`;
}

async function readSource(
  { stageId, output }: MetricSource,
  { lock, store }: CollectOptions,
): Promise<Metrics | null> {
  const locked = ownValue(lock?.stages ?? {}, stageId);
  const artifact = ownValue(locked?.outputs ?? {}, output);
  if (locked === undefined || artifact === undefined) return null;
  const text = await store.artifacts.objects.readText(artifact.digest);
  return text === null ? metricsOfLock(locked, output) : metricsFileSchema.parse(JSON.parse(text));
}

/** In a fresh clone only the lock is there: it has every value, but neither intervals nor notes. */
function metricsOfLock(locked: LockedStage, output: string): Metrics {
  const values = Object.entries(locked.metrics).flatMap(([path, value]): MetricValue[] => {
    const [first, ...rest] = path.split('/');
    const name = rest.at(-1);
    if (first !== output || name === undefined) return [];
    const subject = rest.slice(0, -1).join('/');
    return [
      {
        name,
        value,
        unit: name.endsWith('Fraction') ? 'fraction' : '',
        direction: 'neutral',
        ...(subject === '' ? {} : { subject }),
      },
    ];
  });
  return { values, notes: [] };
}
