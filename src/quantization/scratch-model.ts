import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasGraphs, innerReads } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import { decodeOnnx } from '../onnx/reader.ts';
import { writeOnnx, writeOnnxWithData } from '../onnx/writer.ts';
import { runInEachThread, type WorkerThreads } from '../workers/pool.ts';
import { unwrapTask, type TaskResult } from '../workers/task-result.ts';
import type { OptimizeRequest } from '../workers/tasks/optimize-model.ts';
import { withThreadsOf, type ImagePass } from './image-pass.ts';
import { withWeightsInFile } from './weights-in-file.ts';

export interface ScratchModel {
  readonly modelPath: string;
  /** `disabled` where the file is optimised already: sessions have nothing left to do. */
  readonly graphOptimization: 'disabled' | 'all';
}

/** Its threads optimise the model and run it, and give their sessions of it back in the end. */
export interface ScratchModelOptions extends Pick<
  ImagePass,
  'scratchPath' | 'threads' | 'workerCount'
> {
  /** Used up: it loses its weights once they are written. */
  readonly model: OnnxModel;
  /**
   * What `model` is a copy of (see `cloneModel`): where its weights are many, they are in a file alone
   * until `use` ends. Absent where that is soon.
   */
  readonly source?: OnnxModel;
  /** Of the file, without extension. */
  readonly name: string;
  readonly graphOptimization: 'disabled' | 'all';
  /** See `SessionOptions`. */
  readonly configuration?: Readonly<Record<string, string>>;
}

/**
 * Calls `use` with a file of the model as onnxruntime runs it on this machine, its weights in a file
 * beside it. Every session opened on it maps these weights in the layout its kernels read; one that
 * optimises by itself holds them two and a half times over. ResNet-50: 100 MB against 256 MB a
 * session, opened in 30 against 250 ms.
 */
export async function withScratchModel<T>(
  options: ScratchModelOptions,
  use: (scratch: ScratchModel, threads: WorkerThreads) => Promise<T>,
): Promise<T> {
  return withThreadsOf(options, (threads) => withModelOnThreads(options, threads, use));
}

async function withModelOnThreads<T>(
  options: ScratchModelOptions,
  threads: WorkerThreads,
  use: (scratch: ScratchModel, threads: WorkerThreads) => Promise<T>,
): Promise<T> {
  // Threads know a model by its path, so no two may have the same.
  modelCount += 1;
  const stem = `${options.name}-${modelCount}`;
  const place = (suffix: string): string => join(options.scratchPath, stem + suffix);
  const files = { path: place('.onnx'), dataPath: place('.data') };
  const optimized = { path: place('-optimized.onnx'), dataPath: place('-optimized.data') };
  const remove = async (paths: typeof files): Promise<void> => {
    await rm(paths.path, { force: true });
    await rm(paths.dataPath, { force: true });
  };
  const { model, source, graphOptimization, configuration } = options;
  try {
    const places = await writeOnnxWithData(files.path, files.dataPath, model);
    // Of graphs with branches or loops onnxruntime writes files that it does not read again.
    const isKept = graphOptimization === 'disabled' || graphOf(model).node.some(hasGraphs);
    graphOf(model).initializer = [];
    const runnable = async (): Promise<ScratchModel> => {
      if (isKept) return { modelPath: files.path, graphOptimization };
      const request: OptimizeRequest = {
        modelPath: files.path,
        optimized,
        ...(configuration === undefined ? {} : { configuration }),
      };
      unwrapTask((await threads.run('optimize-model', request)) as TaskResult<null>);
      await runLeavesEarly(optimized.path);
      return { modelPath: optimized.path, graphOptimization: 'disabled' };
    };
    const run = async (): Promise<T> => {
      try {
        return await use(await runnable(), threads);
      } finally {
        // Else a ResNet-50's sessions keep 200 MB of weights mapped while the next model is made.
        await runInEachThread(threads, 'release-model');
      }
    };
    if (source === undefined) return await run();
    return await withWeightsInFile(source, { path: files.dataPath, places }, run);
  } finally {
    await remove(files);
    await remove(optimized);
  }
}

let modelCount = 0;

/**
 * Orders nodes such that onnxruntime runs what is read by nothing, the outputs, as soon as it can, and
 * so drops activations early: from the last of these nodes in the file to the first, each after what
 * it needs (ReverseDFSFrom in onnxruntime/core/graph/graph.cc). The shallowest therefore come last.
 * Else it holds every activation that an output is made from until the end: 70 MB of ResNet-50.
 */
async function runLeavesEarly(path: string): Promise<void> {
  const model = decodeOnnx(await readFile(path), path); // without the weights, which stay in their file
  const graph = graphOf(model);
  const depths = new Map<string, number>();
  const read = new Set<string>();
  const depthOf = (node: OnnxNode): number => depths.get(node.output[0] ?? '') ?? 0;
  for (const node of graph.node) {
    const inputs = [...node.input, ...innerReads(node)];
    for (const input of inputs) read.add(input);
    const depth = 1 + Math.max(0, ...inputs.map((input) => depths.get(input) ?? 0));
    for (const output of node.output) depths.set(output, depth);
  }
  const isLeaf = (node: OnnxNode): boolean => !node.output.some((output) => read.has(output));
  graph.node = [
    ...graph.node.filter((node) => !isLeaf(node)),
    ...graph.node.filter(isLeaf).sort((a, b) => depthOf(b) - depthOf(a)),
  ];
  await writeOnnx(path, model);
}
