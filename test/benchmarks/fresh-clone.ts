/**
 * From a fresh clone to the table: `npm start` with all the set-up, then again with nothing to do; the
 * quickstart's accuracy in float32 and int8.
 *
 * npm run bench -- fresh-clone [--keep-cache]
 *
 * Unless --keep-cache is given TensorFlow is fetched and its binding compiled anew, in a cache folder
 * of the benchmark's own; npm's and pip's caches stay the user's.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse as parseCsv } from 'csv-parse/sync';
import { execa } from 'execa';
import { DataError } from '../../src/diagnostics/errors.ts';
import { renderRows, runProgramMain, say } from '../support/benchmark-program.ts';
import { cloneCheckout, terminalEnvironment, type Clone } from '../support/clone-checkout.ts';

interface Start {
  readonly seconds: number;
  readonly pipelineSeconds: number;
  readonly ranCount: number;
  /** As it says itself. */
  readonly everythingUpToDate: boolean;
}

interface Measure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly bound: 'at most' | 'at least';
  readonly target: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'keep-cache': { type: 'boolean', default: false } } });
  const clone = await cloneCheckout('fresh-clone');
  try {
    say(`cloned revision ${clone.revision}`);
    if (clone.uncommittedCount > 0) {
      say(
        `${clone.uncommittedCount} changed files of the checkout are not committed and not measured`,
      );
    }
    const environment = terminalEnvironment();
    if (!values['keep-cache']) environment['XDG_CACHE_HOME'] = join(clone.scratch, 'cache');
    const first = await start(clone, environment);
    const second = await start(clone, environment);
    report(clone, first, second, await readAccuracies(clone));
  } finally {
    await rm(clone.scratch, { recursive: true, force: true });
  }
}

/** `npm start` as typed into a terminal; what it says goes on to the user. */
async function start({ folder }: Clone, environment: Record<string, string>): Promise<Start> {
  say('$ npm start');
  const before = await runRecords(folder);
  const startedAt = performance.now();
  const { exitCode, stderr } = await execa('npm', ['start'], {
    cwd: folder,
    env: environment,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    stdout: process.stderr,
    stderr: ['pipe', 'inherit'],
  });
  const seconds = (performance.now() - startedAt) / 1000;
  if (exitCode !== 0) {
    throw new DataError({
      code: 'benchmark/start-failed',
      message: `npm start ended with exit code ${String(exitCode)} after ${seconds.toFixed(1)} s`,
      hint: 'its own messages stand above',
    });
  }
  const added = (await runRecords(folder)).filter((file) => !before.includes(file));
  // A run that finds everything up to date need not leave a record.
  const record = added[0] === undefined ? undefined : await readRecord(folder, added[0]);
  return {
    seconds,
    pipelineSeconds: (record?.durationMs ?? 0) / 1000,
    ranCount: record?.ran ?? 0,
    everythingUpToDate: stderr.includes('everything is up to date'),
  };
}

async function runRecords(folder: string): Promise<string[]> {
  return readdir(join(folder, 'experiments', 'quickstart', 'runs')).catch(() => []);
}

async function readRecord(
  folder: string,
  file: string,
): Promise<{ durationMs: number; ran: number }> {
  const path = join(folder, 'experiments', 'quickstart', 'runs', file);
  // Written by drq a moment ago.
  return JSON.parse(await readFile(path, 'utf8')) as { durationMs: number; ran: number };
}

async function readAccuracies({ folder }: Clone): Promise<{ fp32: number; int8: number }> {
  const text = await readFile(join(folder, 'experiments', 'quickstart', 'comparison.csv'), 'utf8');
  const rows: Record<string, string>[] = parseCsv(text, { columns: true });
  const top1Percent = (precision: string): number => {
    const row = rows.find((each) => each['precision'] === precision);
    return Number(row?.['top1_percent'] ?? NaN);
  };
  return { fp32: top1Percent('fp32'), int8: top1Percent('int8') };
}

function report(
  clone: Clone,
  first: Start,
  second: Start,
  accuracy: { fp32: number; int8: number },
): void {
  const loss = accuracy.fp32 - accuracy.int8;
  const measures: Measure[] = [
    ...[
      { name: 'npm start, set-up included', value: first.seconds, unit: 's', target: 360 },
      { name: 'the pipeline alone', value: first.pipelineSeconds, unit: 's', target: 180 },
      { name: 'npm start again', value: second.seconds, unit: 's', target: 2 },
      { name: 'stages run by it', value: second.ranCount, unit: '', target: 0 },
      { name: 'top-1 lost by int8', value: loss, unit: 'points', target: 1 },
    ].map((measure) => ({ ...measure, bound: 'at most' as const })),
    { name: 'top-1, fp32', value: accuracy.fp32, unit: '%', bound: 'at least', target: 85 },
  ];
  const judged = measures.map((measure) => ({
    ...measure,
    passed:
      measure.bound === 'at most'
        ? measure.value <= measure.target
        : measure.value >= measure.target,
  }));
  console.log(
    renderRows(
      judged.map(({ name, value, unit, bound, target, passed }) => ({
        measure: name,
        value: `${Number(value.toFixed(2))} ${unit}`.trimEnd(),
        'must be': `${bound} ${target}`,
        held: passed ? 'yes' : 'no',
      })),
    ),
  );
  const passed = judged.every((measure) => measure.passed) && second.everythingUpToDate;
  console.log(
    JSON.stringify({
      benchmark: 'fresh-clone',
      revision: clone.revision,
      nodeVersion: process.version,
      cpuModel: cpus()[0]?.model,
      coreCount: availableParallelism(),
      passed,
      first,
      second,
      fp32Top1Percent: accuracy.fp32,
      int8Top1Percent: accuracy.int8,
    }),
  );
  if (!passed) process.exitCode = 1;
}

await runProgramMain(main);
