import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { planBlocks } from '../../src/benchmark/protocol.ts';
import { speedup, type PairedBlock } from '../../src/benchmark/statistics.ts';
import { normalizePixels, openShardReader } from '../../src/data/image-shards.ts';
import { argmax } from '../../src/metrics/ranking.ts';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { shownNode } from '../../src/onnx/graph-edit.ts';
import { classifierSignature } from '../../src/onnx/model-signature.ts';
import { graphOf, type OnnxGraph } from '../../src/onnx/model.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import type { NetworkInput } from '../../src/data/network-input.ts';
import { collectRows } from '../../src/quantization/compare-models.ts';
import { fidelityOf } from '../../src/quantization/fidelity.ts';
import { readOptimizedGraph } from '../../src/quantization/optimized-graph.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';
import { createWorkerPool } from '../../src/workers/pool.ts';
import { unwrapTask } from '../../src/workers/task-result.ts';
import {
  CELLS,
  type TimeInferenceRequest,
  type TimeInferenceResponse,
} from '../../src/workers/tasks/time-inference.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';
import type { PeerModel } from './models.ts';
import type { Photographs } from './photographs.ts';

export interface Score {
  /** Over all logits of all test images. */
  readonly sqnrDb: number | null;
  /** The mean of each image's own. */
  readonly meanSqnrDb: number | null;
  readonly agreementPercent: number;
  /** Over the test images and all others that did not calibrate: a hundred images tell it to two points. */
  readonly unseenAgreementPercent: number;
  /** Null where the classes are not the photographs' grades. */
  readonly top1Percent: number | null;
  readonly operators: Readonly<Record<string, number>>;
  /** Float operators with an integer layer somewhere before and somewhere behind them. */
  readonly floatBetween: readonly string[];
}

const INTEGER_LAYERS = new Set(['QLinearConv', 'QGemm', 'QLinearMatMul', 'MatMulIntegerToFloat']);

/** The logits of every one of these images, test images by default; kept by the model's bytes. */
export async function logitsOf(
  modelPath: string,
  photographs: Photographs,
  workFolder: string,
  which: 'testImages' | 'otherImages' = 'testImages',
): Promise<Float32Array[]> {
  const bytes = await readFile(modelPath);
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 24);
  const path = join(workFolder, 'logits', `${digest}-${photographs.key}-${which}.json`);
  const kept = await readFile(path, 'utf8').catch(() => null); // null: not computed yet
  // Written below.
  if (kept !== null) return (JSON.parse(kept) as number[][]).map((row) => Float32Array.from(row));
  const { outputName } = classifierSignature(await readOnnx(modelPath), modelPath);
  const images = photographs[which];
  const rows = await collectRows({ modelPath, outputName, images, workerCount: 2 });
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(rows.map((row) => Array.from(row))));
  return rows;
}

export function top1Percent(rows: readonly Float32Array[], labels: readonly number[]): number {
  const rightCount = rows.filter((row, i) => argmax(row) === labels[i]).length;
  return (100 * rightCount) / rows.length;
}

/** Fidelity to the float model on images no tool has seen, and what onnxruntime makes of the graph. */
export async function scoreCell(options: {
  readonly model: PeerModel;
  readonly quantizedPath: string;
  readonly photographs: Photographs;
  readonly workFolder: string;
}): Promise<Score> {
  const { model, quantizedPath, photographs, workFolder } = options;
  const reference = await logitsOf(model.path, photographs, workFolder);
  const rows = await logitsOf(quantizedPath, photographs, workFolder);
  const { agreementFraction, logitsSqnrDb } = fidelityOf(reference, rows);
  const others = async (path: string): Promise<Float32Array[]> =>
    logitsOf(path, photographs, workFolder, 'otherImages');
  const unseen = fidelityOf(
    [...reference, ...(await others(model.path))],
    [...rows, ...(await others(quantizedPath))],
  );
  return {
    sqnrDb: logitsSqnrDb,
    meanSqnrDb: meanSqnrDb(reference, rows),
    agreementPercent: 100 * agreementFraction,
    unseenAgreementPercent: 100 * unseen.agreementFraction,
    top1Percent: model.weights === 'grades' ? top1Percent(rows, photographs.labels) : null,
    ...(await readGraph(quantizedPath)),
  };
}

function meanSqnrDb(
  reference: readonly Float32Array[],
  rows: readonly Float32Array[],
): number | null {
  const values = reference.flatMap((row, i) => {
    const accumulator = createSqnrAccumulator();
    accumulator.add(row, rows[i]!); // one row an image in both
    return accumulator.finishDb() ?? [];
  });
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function readGraph(path: string): Promise<Pick<Score, 'operators' | 'floatBetween'>> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-peer-graph-'));
  try {
    const { operators, floatNodes } = await readOptimizedGraph(path, folder, []);
    const optimizedModelPath = join(folder, 'graph.onnx');
    await (await openOnnxSession(path, { threadCount: 1, optimizedModelPath })).release();
    const between = nodesBetweenLayers(graphOf(await readOnnx(optimizedModelPath)));
    return {
      operators,
      floatBetween: floatNodes
        .filter(({ node }) => between.has(node))
        .map(({ operator }) => operator),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Names of the nodes that have an integer layer among what they depend on and among what depends on them. */
export function nodesBetweenLayers(graph: OnnxGraph): Set<string> {
  // onnxruntime saves its nodes in topological order.
  const behindLayer = new Set<string>();
  for (const node of graph.node) {
    if (!INTEGER_LAYERS.has(node.opType) && !node.input.some((name) => behindLayer.has(name)))
      continue;
    for (const name of node.output) behindLayer.add(name);
  }
  const beforeLayer = new Set<string>();
  const between = new Set<string>();
  for (const node of [...graph.node].reverse()) {
    const leadsToLayer = node.output.some((name) => beforeLayer.has(name));
    if (leadsToLayer && node.input.some((name) => behindLayer.has(name))) {
      between.add(shownNode(node));
    }
    if (!leadsToLayer && !INTEGER_LAYERS.has(node.opType)) continue;
    for (const name of node.input) beforeLayer.add(name);
  }
  return between;
}

export interface LatencyRatio {
  readonly baselineMs: number;
  readonly modelMs: number;
  /** Latency of the model over that of the baseline, by medians, with the 95 % interval over blocks. */
  readonly ratio: number;
  readonly interval: readonly [number, number] | null;
  /** The same of the fastest runs: what a busy machine disturbs least. */
  readonly fastestRatio: number;
  readonly blockCount: number;
}

const WARMUP_RUNS = 8;
const PAIRS_PER_ROUND = 12;
const RUNS_PER_BLOCK = 4;
const TIMED_IMAGES = 4;

/** Both files in one worker thread, one thread, batch 1, the same session options, blocks in turns. */
export async function latencyRatio(
  baselinePath: string,
  modelPath: string,
  images: ImageSelection,
  roundCount: number,
): Promise<LatencyRatio> {
  const reader = await openShardReader(images.folder);
  const { width, height, normalization } = reader.shards;
  const inputs: NetworkInput[] = [];
  for (const index of images.indices.slice(0, TIMED_IMAGES)) {
    const pixels = new Uint8Array(width * height * 3);
    await reader.read(images.split, index, pixels);
    const input = new Float32Array(pixels.length); // [1, 3, H, W]
    normalizePixels(pixels, 1, width * height, normalization, input);
    inputs.push({ data: input, dims: [1, 3, height, width] });
  }
  await reader.close();
  const random = createRandom(1, 'peers');
  const timedRuns = roundCount * PAIRS_PER_ROUND * RUNS_PER_BLOCK;
  const blocks = planBlocks({ timedRuns, blockSize: RUNS_PER_BLOCK, random });
  const pool = createWorkerPool<TimeInferenceRequest, TimeInferenceResponse>('time-inference', 1);
  try {
    const response = await pool.run({
      modelPaths: { baseline: baselinePath, model: modelPath },
      intraOpThreads: 1,
      inputs: { baseline: inputs, model: inputs },
      warmupRuns: WARMUP_RUNS,
      blocks,
      workerCount: 1,
      shared: new SharedArrayBuffer(Object.keys(CELLS).length * Int32Array.BYTES_PER_ELEMENT),
    });
    const paired = new Map<number, { baselineMs: number[]; modelMs: number[] }>();
    for (const { subject, pair, ms } of unwrapTask(response)) {
      const block = paired.get(pair) ?? { baselineMs: [], modelMs: [] };
      paired.set(pair, block);
      (subject === 'baseline' ? block.baselineMs : block.modelMs).push(ms);
    }
    return summarize([...paired.values()]);
  } finally {
    await pool.close();
  }
}

function summarize(blocks: readonly PairedBlock[]): LatencyRatio {
  const { ratio, interval } = speedup(blocks, createRandom(1, 'peers-interval'));
  const median = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
  const fastest = (values: readonly number[]): number => Math.min(...values);
  return {
    fastestRatio:
      fastest(blocks.flatMap(({ modelMs }) => modelMs)) /
      fastest(blocks.flatMap(({ baselineMs }) => baselineMs)),
    baselineMs: median(blocks.flatMap(({ baselineMs }) => baselineMs)),
    modelMs: median(blocks.flatMap(({ modelMs }) => modelMs)),
    ratio: 1 / ratio, // how many times as fast → how many times as long
    interval: interval === null ? null : [1 / interval[1], 1 / interval[0]],
    blockCount: blocks.length,
  };
}
