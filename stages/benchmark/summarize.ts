import { SUBJECTS, type LatencySample, type Subject } from '../../src/benchmark/protocol.ts';
import {
  BLOCK_FLOOR,
  meanInterval,
  medianInterval,
  sortSamples,
  speedup,
  summarizeLatency,
  type PairedBlock,
} from '../../src/benchmark/statistics.ts';
import type { Random } from '../../src/numeric/random.ts';
import type { MetricValue } from '../../src/stage/metrics-file.ts';

export interface SummaryOptions {
  readonly samples: readonly LatencySample[];
  readonly sizesBytes: Readonly<Record<Subject, number>>;
  readonly workerCount: number;
  readonly intraOpThreads: number;
  readonly random: Random;
}

export interface BenchmarkSummary {
  /** Every figure of the table, by subject; speed-up and size ratio belong to `model`. */
  readonly values: readonly MetricValue[];
  readonly notes: readonly string[];
}

export function summarizeBenchmark(options: SummaryOptions): BenchmarkSummary {
  const blocks = pairBlocks(options.samples);
  const values = SUBJECTS.flatMap((subject) => subjectMetrics(subject, blocks, options));
  const { ratio, interval } = speedup(blocks, options.random.stream('speedup'));
  values.push(
    higherIsBetter('speedup', ratio, 'ratio', interval),
    higherIsBetter('sizeRatio', options.sizesBytes.baseline / options.sizesBytes.model, 'ratio'),
  );
  return { values, notes: intervalNotes(blocks.length) };
}

function intervalNotes(blockCount: number): string[] {
  if (blockCount >= BLOCK_FLOOR) return [];
  return [
    `latencies and speed-up have no interval: ${blockCount} block(s) of each model were timed, and an interval takes ${BLOCK_FLOOR}; lower "blockSize" or raise "timedRuns"`,
  ];
}

function subjectMetrics(
  subject: Subject,
  blocks: readonly PairedBlock[],
  options: SummaryOptions,
): MetricValue[] {
  const latenciesMs = blocks.map((block) =>
    subject === 'baseline' ? block.baselineMs : block.modelMs,
  );
  const summary = summarizeLatency(sortSamples(latenciesMs.flat()));
  const meanIntervalMs = meanInterval(latenciesMs, options.random.stream(`mean/${subject}`));
  const medianIntervalMs = medianInterval(latenciesMs, options.random.stream(`median/${subject}`));
  const latency = (name: string, value: number, interval?: [number, number] | null) => ({
    name,
    value,
    unit: 'ms' as const,
    direction: 'lower-is-better' as const,
    ...(interval ? { interval } : {}),
    subject,
  });
  return [
    latency('latencyMeanMs', summary.meanMs, meanIntervalMs),
    latency('latencyMedianMs', summary.medianMs, medianIntervalMs),
    ...(summary.p90Ms === null ? [] : [latency('latencyP90Ms', summary.p90Ms)]),
    {
      name: 'throughputImagesPerSecond',
      // The workers run side by side, batch 1: each gives 1000 / mean images a second.
      value: (options.workerCount * 1000) / summary.meanMs,
      unit: 'imagesPerSecond',
      direction: 'higher-is-better',
      subject,
    },
    {
      name: 'sizeBytes',
      value: options.sizesBytes[subject],
      unit: 'bytes',
      direction: 'lower-is-better',
      subject,
    },
    ...[
      { name: 'timedRunCount', value: summary.sampleCount },
      { name: 'threadCount', value: options.workerCount * options.intraOpThreads },
    ].map((count): MetricValue => ({ ...count, unit: '', direction: 'neutral', subject })),
  ];
}

function higherIsBetter(
  name: string,
  value: number,
  unit: MetricValue['unit'],
  interval: [number, number] | null = null,
): MetricValue {
  return {
    name,
    value,
    unit,
    direction: 'higher-is-better',
    ...(interval === null ? {} : { interval }),
    subject: 'model',
  };
}

/**
 * Runs that were timed beside each other. A barrier makes all workers run the same block at the same
 * time, so that whatever disturbs one disturbs the others: a block is that of all workers together.
 */
export function pairBlocks(samples: readonly LatencySample[]): PairedBlock[] {
  const blocks = new Map<number, { baselineMs: number[]; modelMs: number[] }>();
  for (const { subject, block, ms } of samples) {
    const entry = blocks.get(block) ?? { baselineMs: [], modelMs: [] };
    blocks.set(block, entry);
    (subject === 'baseline' ? entry.baselineMs : entry.modelMs).push(ms);
  }
  return [...blocks.values()];
}
