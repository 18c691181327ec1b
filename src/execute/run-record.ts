import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism, cpus, hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../store/atomic-write.ts';
import { compareCodeUnits } from '../store/canonical-json.ts';
import { systemErrorCode } from '../store/system-error.ts';

const stageRecordSchema = z.strictObject({
  stageId: z.string(),
  outcome: z.enum(['run', 'restore', 'up-to-date', 'failed', 'skipped', 'interrupted']),
  /** Null when it was never known. */
  key: z.string().nullable(),
  reason: z.string(),
  startedAt: z.string().nullable(),
  durationMs: z.number(),
  warnings: z.array(z.string()),
  error: z
    .strictObject({
      code: z.string(),
      message: z.string(),
      scratchPath: z.string(),
      logPath: z.string(),
    })
    .exactOptional(),
});
export type StageRecord = z.infer<typeof stageRecordSchema>;

export const runRecordSchema = z.strictObject({
  format: z.literal(1),
  runId: z.string(),
  pipeline: z.string(),
  profile: z.string().nullable(),
  startedAt: z.string(),
  finishedAt: z.string(),
  durationMs: z.number(),
  drqVersion: z.string(),
  nodeVersion: z.string(),
  machine: z.strictObject({
    host: z.string(),
    platform: z.string(),
    cpuModel: z.string(),
    coreCount: z.int(),
    memoryBytes: z.number(),
  }),
  interrupted: z.boolean(),
  ran: z.int(),
  restored: z.int(),
  upToDate: z.int(),
  failed: z.int(),
  skipped: z.int(),
  stages: z.array(stageRecordSchema),
});
/** What happened in one run: `experiments/<pipeline>/runs/<runId>.json`. */
export type RunRecord = z.infer<typeof runRecordSchema>;

/** Sorts by time and never repeats: `2025-01-31T12-00-00-1a2b3c`, in UTC. */
export function createRunId(now: Date): string {
  const time = now.toISOString().slice(0, 19).replaceAll(':', '-');
  return `${time}-${randomBytes(3).toString('hex')}`;
}

export function describeMachine(): RunRecord['machine'] {
  return {
    host: hostname(),
    platform: `${process.platform}-${process.arch}`,
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    coreCount: availableParallelism(),
    memoryBytes: totalmem(),
  };
}

export async function writeRunRecord(projectRoot: string, record: RunRecord): Promise<void> {
  const path = join(runsFolder(projectRoot, record.pipeline), `${record.runId}.json`);
  await writeFileAtomic(path, `${JSON.stringify(record, null, 2)}\n`, 'disposable');
}

/** The latest runs of a pipeline, newest first; files that are no run records are passed over. */
export async function readRunRecords(
  projectRoot: string,
  pipelineName: string,
  limit: number,
): Promise<readonly RunRecord[]> {
  const folder = runsFolder(projectRoot, pipelineName);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const records: RunRecord[] = [];
  for (const name of names
    .filter((file) => /^\d.*\.json$/.test(file))
    .sort(compareCodeUnits)
    .toReversed()) {
    if (records.length >= limit) break;
    const record = parseRecord(await readFile(join(folder, name), 'utf8'));
    if (record !== null) records.push(record);
  }
  return records;
}

function runsFolder(projectRoot: string, pipelineName: string): string {
  return join(projectRoot, 'experiments', pipelineName, 'runs');
}

function parseRecord(text: string): RunRecord | null {
  try {
    const parsed = runRecordSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null; // a record of another version or somebody's own file: history only
  }
}
