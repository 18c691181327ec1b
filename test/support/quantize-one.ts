import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createRandom } from '../../src/numeric/random.ts';
import {
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeSpec,
} from '../../src/onnx/build.ts';
import { cloneModel, graphOf, type Initializer, type OnnxModel } from '../../src/onnx/model.ts';
import { encodeOnnx, writeOnnx } from '../../src/onnx/writer.ts';
import { rangeOf } from '../../src/quantization/observers/min-max.ts';
import { readOptimizedGraph } from '../../src/quantization/optimized-graph.ts';
import type { TensorRange } from '../../src/quantization/parameters.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { quantizeModel, type QuantizeOptions } from '../../src/quantization/quantize-model.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';

export const PLAIN: QuantizeOptions = {
  granularity: 'per-channel',
  weightRange: 'max',
  target: 'avx2',
  firstConvolution: 'keep',
};

/** Seeded values, normal with this deviation. */
export function normalValues(name: string, count: number, deviation = 1): Float32Array {
  const random = createRandom(7, name);
  return Float32Array.from({ length: count }, () => random.normal() * deviation);
}

/** float32 of these dimensions, filled by `normalValues`. */
export function normalTensor(name: string, dims: readonly number[], deviation = 1): Initializer {
  const count = dims.reduce((a, b) => a * b, 1);
  return makeTensor(name, dims, normalValues(name, count, deviation));
}

/** A node of one output that bears its name. */
export function nodeSpec(
  opType: string,
  inputs: readonly string[],
  output: string,
  attributes: NodeSpec['attributes'] = {},
): NodeSpec {
  return { opType, name: output, inputs, outputs: [output], attributes };
}

export function smallModel(options: {
  readonly nodes: readonly NodeSpec[];
  readonly input: readonly number[];
  readonly output: string;
  readonly tensors?: readonly Initializer[];
  readonly opset?: number;
}): OnnxModel {
  return makeModel({
    graphName: 'small',
    opset: options.opset ?? 17,
    nodes: options.nodes.map(makeNode),
    inputs: [makeValueInfo('input', options.input)],
    outputs: [makeValueInfo(options.output, 'any')],
    initializers: options.tensors ?? [makeTensor('unused', [1], Float32Array.of(0))],
  });
}

/** Every float tensor of the prepared model on `input`: name → values. */
export async function allTensors(
  model: OnnxModel,
  input: Float32Array,
): Promise<Record<string, Float32Array>> {
  const copy = cloneModel(prepareModel(model));
  const graph = graphOf(copy);
  // The second output of a MaxPool holds places.
  const floats = graph.node.flatMap(({ opType, output }) =>
    opType === 'MaxPool' ? output.slice(0, 1) : output,
  );
  const names = ['input', ...floats];
  graph.output = names.map((name) => makeValueInfo(name, 'any'));
  return run(encodeOnnx(copy), model, input, 'disabled');
}

export async function run(
  bytes: Uint8Array,
  { graph }: OnnxModel,
  input: Float32Array,
  graphOptimization: 'disabled' | 'all',
  configuration: Readonly<Record<string, string>> = {},
): Promise<Record<string, Float32Array>> {
  const type = graph?.input[0]?.type?.value;
  const dims =
    type?.case === 'tensorType'
      ? (type.value.shape?.dim ?? []).map(({ value }) => Number(value.value))
      : [];
  const session = await openOnnxSession(bytes, {
    threadCount: 1,
    graphOptimization,
    configuration,
  });
  const outputs = await session.run({ input: { data: input, dims } });
  const copies = Object.entries(outputs).map(([name, { data }]) => [
    name,
    Float32Array.from(data as Float32Array),
  ]);
  await session.release();
  return Object.fromEntries(copies) as Record<string, Float32Array>;
}

/** The model calibrated by min-max on `input` itself, quantized, run and taken apart. */
export async function quantizeOne(
  test: TestContext,
  model: OnnxModel,
  input: Float32Array,
  options: Partial<QuantizeOptions> = {},
) {
  const float = await allTensors(model, input);
  const tensors: Record<string, TensorRange> = {};
  for (const [name, values] of Object.entries(float)) {
    // What is infinite stays float, and has no range.
    if (values.every(Number.isFinite)) tensors[name] = rangeOf(values, name);
  }
  const quantized = quantizeModel(model, { tensors }, { ...PLAIN, ...options });
  const folder = await mkdtemp(join(tmpdir(), 'drq-conformance-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'quantized.onnx');
  await writeOnnx(path, quantized.model);
  const bytes = encodeOnnx(quantized.model);
  const { target } = { ...PLAIN, ...options };
  // What a CPU with VNNI gives is slower without, but the same.
  const exact = target === 'vnni' ? { x64quantprecision: '1' } : {};
  return {
    float,
    ...quantized,
    optimized: await readOptimizedGraph(path, folder, quantized.plan.floatNodes),
    fused: await run(bytes, model, input, 'all', exact),
    unfused: await run(bytes, model, input, 'disabled'),
  };
}
