/**
 * Takes models of other exporters through prepare, calibrate and quantize and tells what stayed float:
 * PyTorch's (written by export_models.py, both exporters) and those that the Python package `onnx`
 * carries (onnx/backend/test/data/light, opset 9). Random inputs: this is about graphs, not accuracy.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { makeValueInfo } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { classifierSignature } from '../../src/onnx/model-signature.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../src/onnx/model.ts';
import { decodeOnnx, readOnnx } from '../../src/onnx/reader.ts';
import { encodeOnnx, writeOnnx } from '../../src/onnx/writer.ts';
import { markGraph } from '../../src/quantization/mark-graph.ts';
import { rangeOf } from '../../src/quantization/observers/min-max.ts';
import { readOptimizedGraph } from '../../src/quantization/optimized-graph.ts';
import type { TensorRange } from '../../src/quantization/parameters.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { quantizeModel } from '../../src/quantization/quantize-model.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';

export interface Coverage {
  readonly model: string;
  readonly layerCount: number;
  /** Kinds of operators in float between the first and the last quantized layer, with their number. */
  readonly floatInside: Readonly<Record<string, number>>;
  /** The same before the first or after the last. */
  readonly floatOutside: Readonly<Record<string, number>>;
  /** Prepared against original, and quantized against original, on one random image. */
  readonly preparedSqnrDb: number | null;
  readonly quantizedSqnrDb: number | null;
  /** Whether a read and a write keep every byte of the file. */
  readonly keepsBytes: boolean;
}

/**
 * Networks of which nothing may stay float between the first and the last quantized layer, but LRN, which
 * the AlexNet and Inception of 2012 to 2014 have and onnxruntime has in float only.
 */
const FULLY_INTEGER = /alexnet|mobilenet_v2|resnet|densenet|inception/;

export async function coverageOf(path: string): Promise<Coverage> {
  const folder = await mkdtemp(join(tmpdir(), 'drq-coverage-'));
  try {
    const model = await readOnnx(path);
    checkModel(model, path);
    const { inputName, height, width } = classifierSignature(model, path);
    const size = { height: height ?? 224, width: width ?? 224 };
    const random = createRandom(11, basename(path));
    const data = Float32Array.from({ length: 3 * size.height * size.width }, () => random.normal());
    const input = { name: inputName, data, dims: [1, 3, size.height, size.width] };

    const prepared = prepareModel(model);
    const outputs = graphOf(model).output.map(({ name }) => name);
    const float = await run(model, input, folder);
    const plain = await run(prepared, input, folder);
    const observed = cloneModel(prepared);
    graphOf(observed).output = [...markGraph(graphOf(prepared)).tensors.keys()].map((name) =>
      makeValueInfo(name, 'any'),
    );
    const tensors: Record<string, TensorRange> = {};
    for (const [name, values] of Object.entries(await run(observed, input, folder))) {
      tensors[name] = rangeOf(values, name);
    }
    const quantized = quantizeModel(
      model,
      { tensors },
      { granularity: 'per-channel', weightRange: 'max', target: 'avx2', firstConvolution: 'pad' },
    );
    const quantizedPath = join(folder, 'quantized.onnx');
    await writeOnnx(quantizedPath, quantized.model);
    const result = await run(quantized.model, input, folder);
    const optimized = await readOptimizedGraph(quantizedPath, folder, quantized.plan.floatNodes);
    const order = new Map(graphOf(prepared).node.map((node, i) => [node.name, i]));
    const places = quantized.plan.layers.map(({ node }) => order.get(node.name) ?? 0);
    const [first, last] = [Math.min(...places), Math.max(...places)];
    const isInside = (node: string): boolean => {
      const place = order.get(node);
      return place === undefined || (place > first && place < last);
    };
    const inside = optimized.floatNodes.filter(({ node }) => isInside(node));
    const outside = optimized.floatNodes.filter(({ node }) => !isInside(node));
    const [name = ''] = outputs;
    const reference = float[name] ?? new Float32Array();
    const bytes = await readFile(path);
    return {
      model: basename(path),
      keepsBytes: bytes.equals(encodeOnnx(decodeOnnx(bytes, path))),
      layerCount: quantized.plan.layers.length,
      floatInside: countKinds(inside),
      floatOutside: countKinds(outside),
      preparedSqnrDb: sqnrDb(reference, plain[name] ?? new Float32Array()),
      quantizedSqnrDb: sqnrDb(reference, result[name] ?? new Float32Array()),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Covers every .onnx file of the folders and returns what is wrong, one line each: a model that does not
 * go through, one that a write changes, and float operators where there must be none.
 */
export async function coverFolders(
  folders: readonly string[],
  log: (line: string) => void,
): Promise<string[]> {
  const faults: string[] = [];
  for (const folder of folders) {
    const files = (await readdir(folder)).filter((file) => file.endsWith('.onnx')).sort();
    if (files.length === 0) faults.push(`${folder} holds no .onnx file`);
    for (const file of files) {
      try {
        const coverage = await coverageOf(join(folder, file));
        log(JSON.stringify(coverage));
        if (!coverage.keepsBytes) faults.push(`${file}: a read and a write change it`);
        const isFloat = Object.keys(coverage.floatInside).some((kind) => kind !== 'LRN');
        if (FULLY_INTEGER.test(file) && isFloat)
          faults.push(`${file}: ${JSON.stringify(coverage.floatInside)} in float`);
      } catch (error) {
        faults.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  return faults;
}

interface Input {
  readonly name: string;
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

async function run(
  model: OnnxModel,
  { name, data, dims }: Input,
  folder: string,
): Promise<Record<string, Float32Array>> {
  const path = join(folder, 'run.onnx');
  await writeOnnx(path, model);
  const session = await openOnnxSession(path, { threadCount: 2, graphOptimization: 'basic' });
  const outputs = await session.run({ [name]: { data, dims } });
  await session.release();
  return Object.fromEntries(
    Object.entries(outputs).map(([key, value]) => [
      key,
      Float32Array.from(value.data as Float32Array),
    ]), // float models
  );
}

function sqnrDb(reference: Float32Array, actual: Float32Array): number | null {
  const sums = createSqnrAccumulator();
  sums.add(reference, actual);
  return sums.finishDb();
}

function countKinds(nodes: readonly { readonly operator: string }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { operator } of nodes) counts[operator] = (counts[operator] ?? 0) + 1;
  return counts;
}
