import { stringify } from 'csv-stringify/sync';
import { stat, writeFile } from 'node:fs/promises';
import {
  cpuInt8Support,
  machineFingerprint,
  watchLoad,
  type LoadReport,
  type MachineFingerprint,
} from '../../src/benchmark/machine.ts';
import { planBlocks, SETTLING_RUN_COUNT, type Subject } from '../../src/benchmark/protocol.ts';
import { readImageShards } from '../../src/data/image-shards.ts';
import type { InputForm } from '../../src/data/network-input.ts';
import { StageError } from '../../src/diagnostics/errors.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { classifierSignature, type ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { defineStage } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { commonSize, photographInputs, randomInputs, type BenchmarkInputs } from './inputs.ts';
import { benchmarkParameters, type BenchmarkParameters } from './parameters.ts';
import { summarizeBenchmark } from './summarize.ts';
import { timeSubjects } from './time-subjects.ts';

export const benchmark = defineStage({
  kind: 'benchmark',
  version: 2,
  description: 'Times two models against each other on this machine, and compares their sizes.',
  parameters: benchmarkParameters,
  inputs: {
    baseline: { kinds: ['model/onnx'], description: 'What is compared with, usually fp32.' },
    model: { kinds: ['model/onnx'], description: 'What is compared, usually int8.' },
    images: {
      kinds: ['image-shards'],
      optional: true,
      description: 'Photographs to time on; without them seeded random inputs are used.',
    },
  },
  outputs: {
    metrics: {
      kind: 'metrics',
      description: 'Latency, throughput and size of both models, speed-up and size ratio.',
    },
    samples: {
      kind: 'latency-samples',
      description: 'Every timed run: subject, worker, block, run, ms.',
    },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'per-machine',
  scheduling: 'alone',
  defaultCpuCount: 'all',
  isolation: 'in-process',
  async run(context) {
    const { outputs, parameters, inputs } = context;
    requireCores(parameters, context.resources.cpuCount);
    const protocolNotes = interleavingNotes(parameters);
    for (const note of protocolNotes) context.warn(note);
    // `baseline` and `model` are required: the engine gives every required input.
    const modelPaths = { baseline: inputs['baseline']!.path, model: inputs['model']!.path };
    const random = createRandom(parameters.seed, 'benchmark');
    const timedInputs = await prepareInputs(modelPaths, inputs['images']?.path ?? null, {
      random: () => random.stream('inputs'),
    });
    const { timedRuns, blockSize, warmupRuns, threads, intraOpThreads } = parameters;
    const endLoad = watchLoad();
    const samples = await timeSubjects({
      modelPaths,
      inputs: timedInputs,
      blocks: planBlocks({ timedRuns, blockSize, random: random.stream('blocks') }),
      warmupRuns,
      workerCount: threads,
      intraOpThreads,
      signal: context.signal,
      progress: (update) => context.progress(update),
    });
    const load = endLoad();
    const busyNotes = loadNotes(load);
    for (const note of busyNotes) context.warn(note);
    const { values, notes } = summarizeBenchmark({
      samples,
      sizesBytes: {
        baseline: (await stat(modelPaths.baseline)).size,
        model: (await stat(modelPaths.model)).size,
      },
      workerCount: threads,
      intraOpThreads,
      random: random.stream('bootstrap'),
    });
    await writeFile(
      outputs['samples']!,
      stringify(samples, { header: true, columns: ['subject', 'worker', 'block', 'run', 'ms'] }),
    );
    const machine = await machineFingerprint();
    await writeMetricsFile(outputs['metrics']!, {
      values: [...values],
      notes: [...protocolNotes, ...busyNotes, ...notes, ...int8Notes()],
      details: detailsOf({ parameters, load, machine, timedInputs }),
    });
  },
});

function requireCores({ threads, intraOpThreads }: BenchmarkParameters, coreCount: number): void {
  if (threads * intraOpThreads <= coreCount) return;
  throw new StageError({
    code: 'benchmark/too-many-threads',
    message: `threads ${threads} x intraOpThreads ${intraOpThreads} = ${threads * intraOpThreads} threads, but ${coreCount} core(s) can be used; threads that share a core time each other`,
    hint: 'lower "threads" or "intraOpThreads", or give the stage more cpus',
  });
}

function interleavingNotes({ blockSize, timedRuns }: BenchmarkParameters): string[] {
  if (blockSize < timedRuns) return [];
  return [
    `blockSize ${blockSize} takes all ${timedRuns} timed runs of a model at once: nothing is interleaved, and a drift of the machine passes for a difference of the models; lower "blockSize"`,
  ];
}

async function prepareInputs(
  modelPaths: Readonly<Record<Subject, string>>,
  shardsPath: string | null,
  services: { random: () => ReturnType<typeof createRandom> },
): Promise<BenchmarkInputs> {
  const signatures = {
    baseline: classifierSignature(await readOnnx(modelPaths.baseline), modelPaths.baseline),
    model: classifierSignature(await readOnnx(modelPaths.model), modelPaths.model),
  };
  const formOf = ({ inputType, inputLayout }: ClassifierSignature): InputForm => ({
    type: inputType,
    layout: inputLayout,
  });
  const forms = { baseline: formOf(signatures.baseline), model: formOf(signatures.model) };
  if (shardsPath === null) {
    return randomInputs(commonSize(signatures, null), forms, services.random());
  }
  commonSize(signatures, await readImageShards(shardsPath));
  return photographInputs(shardsPath, forms);
}

/** Beyond this share of the machine other processes visibly stretch the tail of the latencies. */
const BUSY_FRACTION = 0.1;

function loadNotes({ otherBusyFraction }: LoadReport): string[] {
  if (otherBusyFraction <= BUSY_FRACTION) return [];
  const percent = Math.round(otherBusyFraction * 100);
  return [
    `other processes used ${percent} % of the machine while latencies were timed; they may be too high: stop the others and time again`,
  ];
}

function int8Notes(): string[] {
  const support = cpuInt8Support();
  if (support === 'avx2') {
    return ['this CPU has no VNNI instructions: int8 gains less here than on newer ones'];
  }
  return support === 'none' ? ['this CPU has no int8 instructions to speak of'] : [];
}

function detailsOf(options: {
  readonly parameters: BenchmarkParameters;
  readonly load: LoadReport;
  readonly machine: MachineFingerprint;
  readonly timedInputs: BenchmarkInputs;
}): Parameters<typeof writeMetricsFile>[1]['details'] {
  const { parameters, load, machine, timedInputs } = options;
  return {
    protocol: {
      ...parameters,
      batchSize: 1,
      settlingRunsPerBlock: SETTLING_RUN_COUNT,
      inputs: timedInputs.source,
      inputDims: [...(timedInputs.inputs.baseline[0]?.dims ?? [])],
    },
    machine: { ...machine, cpuFlags: [...machine.cpuFlags], int8: cpuInt8Support() },
    load: { ...load, loadAverage: [...load.loadAverage] },
    intervals:
      'mean, median and speed-up: percentile bootstrap 95 % over pairs of blocks, each of all workers, 2000 resamples',
  };
}
