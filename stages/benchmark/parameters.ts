import { z } from 'zod';

export const benchmarkParameters = z.strictObject({
  warmupRuns: z
    .int()
    .min(10)
    .default(10)
    .describe('Untimed runs of each model in each worker before anything is timed.'),
  timedRuns: z
    .int()
    .min(100)
    .default(100)
    .describe('Timed runs of each model in each worker, batch size 1.'),
  threads: z
    .int()
    .min(1)
    .default(1)
    .describe('Worker threads that run side by side, each with sessions of its own.'),
  intraOpThreads: z
    .int()
    .min(1)
    .default(1)
    .describe('Threads onnxruntime uses inside one run; times threads it must fit the cores.'),
  blockSize: z
    .int()
    .min(1)
    .default(5)
    .describe('Runs of one model in a row before the other has its turn.'),
  seed: z
    .int()
    .min(0)
    .default(0)
    .describe('Of the order of blocks, of random inputs and of the bootstrap.'),
});
export type BenchmarkParameters = z.output<typeof benchmarkParameters>;
