import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasGraphs, innerReads } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import { decodeOnnx } from '../onnx/reader.ts';
import { writeOnnx, writeOnnxWithData } from '../onnx/writer.ts';
import { collectGarbage } from '../runtime/collect-garbage.ts';
import { openOnnxSession } from '../runtime/onnx-session.ts';
import { runInEachThread, type WorkerThreads } from '../workers/pool.ts';

export interface ScratchModel {
  readonly modelPath: string;
  /** `disabled` where the file is optimised already: sessions have nothing left to do. */
  readonly graphOptimization: 'disabled' | 'all';
}

export interface ScratchModelOptions {
  readonly model: OnnxModel;
  /** The folder; left as it was. */
  readonly scratchPath: string;
  /** Of the file, without extension. */
  readonly name: string;
  readonly graphOptimization: 'disabled' | 'all';
  /** Threads that run it, which give their sessions of it back in the end. */
  readonly threads?: WorkerThreads;
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
  use: (scratch: ScratchModel) => Promise<T>,
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
  try {
    await writeOnnxWithData(files.path, files.dataPath, options.model);
    const { graphOptimization } = options;
    // Of graphs with branches or loops onnxruntime writes files that it does not read again.
    const isKept = graphOptimization === 'disabled' || graphOf(options.model).node.some(hasGraphs);
    if (isKept) return await use({ modelPath: files.path, graphOptimization });
    const session = await openOnnxSession(files.path, {
      threadCount: 1,
      graphOptimization,
      optimizedModelPath: optimized.path,
      configuration: {
        ...options.configuration,
        disable_prepacking: '1', // it runs nothing
        optimized_model_external_initializers_file_name: basename(optimized.dataPath),
        optimized_model_external_initializers_min_size_in_bytes: String(LEAST_EXTERNAL_BYTES),
      },
    });
    await session.release();
    await remove(files);
    // Without the weights, which stay in their file.
    const model = decodeOnnx(await readFile(optimized.path), optimized.path);
    runLeavesEarly(graphOf(model));
    await writeOnnx(optimized.path, model);
    collectGarbage(); // what making it took
    return await use({ modelPath: optimized.path, graphOptimization: 'disabled' });
  } finally {
    // Else a ResNet-50's sessions keep 200 MB of weights mapped while the next model is made.
    if (options.threads !== undefined) await runInEachThread(options.threads, 'release-model');
    await remove(files);
    await remove(optimized);
  }
}

let modelCount = 0;

/** Smaller tensors stay in the file itself. */
const LEAST_EXTERNAL_BYTES = 1024;

/**
 * Orders nodes such that onnxruntime runs what is read by nothing, the outputs, as soon as it can, and
 * so drops activations early: from the last of these nodes in the file to the first, each after what
 * it needs (ReverseDFSFrom in onnxruntime/core/graph/graph.cc). The shallowest therefore come last.
 * Else it holds every activation that an output is made from until the end: 70 MB of ResNet-50.
 */
function runLeavesEarly(graph: OnnxGraph): void {
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
}
