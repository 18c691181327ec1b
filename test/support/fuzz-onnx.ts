/**
 * Run as a process of its own: `fuzz-onnx.js FIRST COUNT`. Takes that many seeded mutations of a small
 * model through reading, checking, preparing, quantizing and onnxruntime; prints one JSON line each.
 */
import { DrqError } from '../../src/diagnostics/errors.ts';
import { createRandom, type Random } from '../../src/numeric/random.ts';
import { makeModel, makeNode, makeTensor, makeValueInfo } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { classifierSignature } from '../../src/onnx/model-signature.ts';
import { graphOf, type OnnxModel } from '../../src/onnx/model.ts';
import { decodeOnnx } from '../../src/onnx/reader.ts';
import { encodeOnnx } from '../../src/onnx/writer.ts';
import { markGraph } from '../../src/quantization/mark-graph.ts';
import { prepareModel } from '../../src/quantization/prepare-model.ts';
import { quantizeModel } from '../../src/quantization/quantize-model.ts';
import { requireImageModel } from '../../src/quantization/require-image-model.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';
import { normalValues } from './quantize-one.ts';

export interface FuzzOutcome {
  readonly seed: number;
  readonly mutation: string;
  /** `valid`, the code of a DrqError, or `CRASH` with what was thrown. */
  readonly outcome: string;
  readonly detail?: string;
  readonly elapsedMs: number;
}

const SIZE = 8;

/** Conv, batch norm, a residual Add, pool, a flatten by shape arithmetic, Gemm. */
export function fuzzedModel(): OnnxModel {
  const node = (opType: string, inputs: readonly string[], output: string, attributes = {}) =>
    makeNode({ opType, name: `${output}_node`, inputs, outputs: [output], attributes });
  const floats = (name: string, dims: readonly number[]) =>
    makeTensor(
      name,
      dims,
      normalValues(
        name,
        dims.reduce((a, b) => a * b, 1),
        0.3,
      ),
    );
  return makeModel({
    graphName: 'fuzzed',
    opset: 17,
    inputs: [makeValueInfo('input', ['N', 3, SIZE, SIZE])],
    outputs: [makeValueInfo('logits', ['N', 3])],
    initializers: [
      floats('w1', [4, 3, 3, 3]),
      floats('gamma', [4]),
      floats('beta', [4]),
      floats('mean', [4]),
      makeTensor('variance', [4], Float32Array.of(1, 2, 0.5, 1)),
      floats('w2', [4, 4, 1, 1]),
      floats('w3', [3, 4]),
      floats('b3', [3]),
      makeTensor('zero', [], BigInt64Array.of(0n)),
      makeTensor('axis0', [1], BigInt64Array.of(0n)),
      makeTensor('four', [1], BigInt64Array.of(4n)),
    ],
    nodes: [
      node('Conv', ['input', 'w1'], 'c1', { pads: [1, 1, 1, 1], strides: [2, 2] }),
      node('BatchNormalization', ['c1', 'gamma', 'beta', 'mean', 'variance'], 'n1'),
      node('Relu', ['n1'], 'r1'),
      node('Conv', ['r1', 'w2'], 'c2', { kernel_shape: [1, 1] }),
      node('Add', ['c2', 'r1'], 's'),
      node('GlobalAveragePool', ['s'], 'p'),
      node('Shape', ['p'], 'shape'),
      node('Gather', ['shape', 'zero'], 'batch', { axis: 0 }),
      node('Unsqueeze', ['batch', 'axis0'], 'batch1'),
      node('Concat', ['batch1', 'four'], 'flat', { axis: 0 }),
      node('Reshape', ['p', 'flat'], 'f'),
      node('Gemm', ['f', 'w3', 'b3'], 'logits', { transB: 1 }),
    ],
  });
}

type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array;

const at = (bytes: Uint8Array, random: Random): number => random.integer(bytes.length);
const pick = <T>(items: readonly T[], random: Random): T | undefined =>
  items[random.integer(Math.max(1, items.length))];

/** Changes the decoded model and writes it again. */
const structural =
  (change: (model: OnnxModel, random: Random) => void): Mutation =>
  (bytes, random) => {
    const model = decodeOnnx(bytes, 'fuzzed.onnx');
    change(model, random);
    return encodeOnnx(model);
  };

/** The lists of a graph that a field can be taken out of or put into twice. */
function listsOf(model: OnnxModel): unknown[][] {
  const graph = graphOf(model);
  return [
    graph.node,
    graph.initializer,
    graph.input,
    graph.output,
    model.opsetImport,
    ...graph.node.flatMap(({ input, output, attribute }) => [input, output, attribute]),
    ...graph.initializer.map(({ dims }) => dims),
  ].filter((list) => list.length > 0);
}

const ODD_NUMBERS = [
  0n,
  -1n,
  1n,
  2n,
  7n,
  255n,
  2n ** 20n,
  2n ** 31n,
  2n ** 40n,
  2n ** 62n,
  -(2n ** 63n),
];
const ODD_NAMES = [
  '',
  'input',
  'logits',
  'r1',
  'w1',
  'p',
  'Loop',
  'If',
  'Conv',
  'NoSuchOperator',
  '\0',
];

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'bit flips': (bytes, random) => {
    for (let i = 0; i <= random.integer(6); i += 1)
      bytes[at(bytes, random)]! ^= 1 << random.integer(8);
    return bytes;
  },
  truncation: (bytes, random) => bytes.slice(0, at(bytes, random)),
  'length field': (bytes, random) => {
    // Tags of fields with a length end in 2; what follows is the length.
    const places = [...bytes.keys()].filter((i) => (bytes[i]! & 7) === 2 && i + 1 < bytes.length);
    const place = pick(places, random) ?? 0;
    bytes[place + 1] = random.integer(256);
    return bytes;
  },
  'bytes inserted': (bytes, random) => {
    const place = at(bytes, random);
    const noise = Uint8Array.from({ length: 1 + random.integer(12) }, () => random.integer(256));
    return Uint8Array.from([...bytes.subarray(0, place), ...noise, ...bytes.subarray(place)]);
  },
  'bytes removed': (bytes, random) => {
    const place = at(bytes, random);
    return Uint8Array.from([
      ...bytes.subarray(0, place),
      ...bytes.subarray(place + 1 + random.integer(12)),
    ]);
  },
  'field removed': structural((model, random) => {
    const list = pick(listsOf(model), random);
    list?.splice(random.integer(list.length), 1);
  }),
  'field doubled': structural((model, random) => {
    const list = pick(listsOf(model), random);
    if (list !== undefined) list.push(list[random.integer(list.length)]);
  }),
  'fields swapped': structural((model, random) => {
    const list = pick(listsOf(model), random) ?? [];
    const [a, b] = [random.integer(list.length), random.integer(list.length)];
    [list[a], list[b]] = [list[b], list[a]];
  }),
  'name changed': structural((model, random) => {
    const node = pick(graphOf(model).node, random)!;
    const name = pick(ODD_NAMES, random) ?? '';
    const change = pick(['input', 'output', 'operator', 'domain'] as const, random);
    if (change === 'operator') node.opType = name;
    else if (change === 'domain') node.domain = name;
    else if (change === 'input') node.input[random.integer(Math.max(1, node.input.length))] = name;
    else node.output[0] = name;
  }),
  'number changed': structural((model, random) => {
    const number = pick(ODD_NUMBERS, random) ?? 0n;
    const graph = graphOf(model);
    const tensor = pick(graph.initializer, random)!;
    const attribute = pick(
      graph.node.flatMap((node) => node.attribute),
      random,
    )!;
    const change = random.integer(4);
    if (change === 0) tensor.dims[random.integer(Math.max(1, tensor.dims.length))] = number;
    else if (change === 1) tensor.dataType = Number(BigInt.asIntN(8, number));
    else if (change === 2) attribute.i = number;
    else attribute.ints[random.integer(Math.max(1, attribute.ints.length))] = number;
  }),
  'weight changed': structural((model, random) => {
    const tensor = pick(graphOf(model).initializer, random)!;
    const value = pick([NaN, Infinity, -Infinity, 3e38, -1e-45, 0], random) ?? NaN;
    const view = new DataView(tensor.rawData.buffer, tensor.rawData.byteOffset);
    view.setFloat32(4 * random.integer(tensor.rawData.length / 4), value, true);
  }),
};
export const MUTATION_NAMES = Object.keys(MUTATIONS);

async function tryOne(original: Uint8Array, seed: number): Promise<FuzzOutcome> {
  const name = MUTATION_NAMES[seed % MUTATION_NAMES.length]!; // the list is not empty
  const bytes = MUTATIONS[name]!(original.slice(), createRandom(seed, 'fuzz'));
  const start = performance.now();
  const finish = (outcome: string, detail?: string): FuzzOutcome => ({
    seed,
    mutation: name,
    outcome,
    ...(detail === undefined ? {} : { detail }),
    elapsedMs: performance.now() - start,
  });
  try {
    const model = decodeOnnx(bytes, 'fuzzed.onnx');
    checkModel(model, 'fuzzed.onnx');
    requireImageModel(classifierSignature(model, 'fuzzed.onnx'), 'fuzzed.onnx', {
      width: SIZE,
      height: SIZE,
    });
    const marks = markGraph(graphOf(prepareModel(model)));
    const tensors = Object.fromEntries(
      [...marks.tensors.keys()].map((key) => [key, { min: -2, max: 2 }]),
    );
    const quantized = quantizeModel(
      model,
      { tensors },
      { granularity: 'per-channel', weightRange: 'max', target: 'avx2', firstConvolution: 'pad' },
    );
    for (const file of [bytes, encodeOnnx(quantized.model)]) {
      const session = await openOnnxSession(file, { threadCount: 1 });
      const [input = ''] = session.inputNames;
      const data = normalValues('input', 3 * SIZE * SIZE);
      try {
        await session.run({ [input]: { data, dims: [1, 3, SIZE, SIZE] } });
      } finally {
        await session.release();
      }
    }
    return finish('valid');
  } catch (error) {
    if (error instanceof DrqError && error.name === 'OnnxError')
      return finish(error.code, error.message);
    return finish('CRASH', error instanceof Error ? error.stack : String(error));
  }
}

if (process.argv[1] === import.meta.filename) {
  const [first = 0, count = 0] = process.argv.slice(2).map(Number);
  const original = encodeOnnx(fuzzedModel());
  for (let seed = first; seed < first + count; seed += 1) {
    // Written before the attempt, so that a process that dies tells where.
    process.stdout.write(`${JSON.stringify({ trying: seed })}\n`);
    process.stdout.write(`${JSON.stringify(await tryOne(original, seed))}\n`);
  }
  process.stdout.write(`${JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`);
}
