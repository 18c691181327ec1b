import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuInt8Support } from '../../src/benchmark/machine.ts';
import { makeNode, makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import { encodeOnnx } from '../../src/onnx/writer.ts';
import { meetingWeights } from '../../src/quantization/code-bounds.ts';
import { run, smallModel } from '../support/quantize-one.ts';

/** A row for each pair of its weights, which are 127 there and 0 elsewhere. */
function pairsOf(rowSize: number): [number, number][] {
  return Array.from({ length: rowSize }, (_, j) =>
    Array.from({ length: j }, (_, i): [number, number] => [i, j]),
  ).flat();
}

interface Case {
  readonly name: string;
  /** Of one row: [C/group, kH, kW], or [K]. */
  readonly window: readonly number[];
  readonly group: (rowCount: number) => number;
}

const CASES: readonly Case[] = [
  { name: '1x1 convolution', window: [8, 1, 1], group: () => 1 },
  { name: '3x3 convolution', window: [4, 3, 3], group: () => 1 },
  { name: '3x3 convolution over an odd number of channels', window: [5, 3, 3], group: () => 1 },
  { name: '3x3 convolution over three channels', window: [3, 3, 3], group: () => 1 },
  { name: 'grouped convolution', window: [6, 3, 3], group: () => 2 },
  { name: 'grouped convolution of one channel each', window: [1, 3, 3], group: () => 3 },
  { name: 'depthwise 3x3 convolution', window: [1, 3, 3], group: (rowCount) => rowCount },
  { name: 'depthwise 5x5 convolution', window: [1, 5, 5], group: (rowCount) => rowCount },
  { name: 'Gemm', window: [11], group: () => 1 },
];

for (const { name, window, group } of CASES) {
  test(`only weights that are said to meet saturate: ${name}`, async () => {
    const rowSize = window.reduce((product, size) => product * size, 1);
    const pairs = pairsOf(rowSize);
    // In 16s, as the fast kernels want them, of every group; what is too much repeats.
    const rowCount = Math.ceil(pairs.length / 48) * 48;
    const pairAt = (row: number): [number, number] => pairs[row % pairs.length]!; // within by the remainder
    const codes = new Int8Array(rowCount * rowSize);
    for (let row = 0; row < rowCount; row += 1) {
      for (const k of pairAt(row)) codes[row * rowSize + k] = 127;
    }
    const sums = await sumsOf(window, group(rowCount), rowCount, codes);
    const saturating = new Set<string>();
    for (const [row, sum] of sums.entries()) {
      if (Math.abs(sum - 2 * 127 * 255) > OUTPUT_SCALE) saturating.add(pairAt(row).join());
    }
    const layer = {
      node: convolution(group(rowCount), window),
      weightDims: [rowCount, ...window],
      axis: 0 as const,
    };
    const meeting = meetingWeights(layer, 'keep')!;
    const expected = pairs.filter(([i, j]) => meeting[i] === j).map(String);
    // A CPU with VNNI adds in 32 bits; only AVX2 and its like can tell.
    assert.deepEqual([...saturating].sort(), cpuInt8Support() === 'avx2' ? expected.sort() : []);
  });
}

const OUTPUT_SCALE = 400;

function convolution(group: number, window: readonly number[]) {
  return makeNode(layerSpec(group, window));
}

function layerSpec(group: number, window: readonly number[]): NodeSpec {
  const shared = { name: 'layer', inputs: ['x', 'w'], outputs: ['sums'] };
  return window.length === 1
    ? { ...shared, opType: 'Gemm', attributes: { transB: 1 } }
    : { ...shared, opType: 'Conv', attributes: { group } };
}

/** What every row of codes sums to for inputs that are all 255: [M]. */
async function sumsOf(
  window: readonly number[],
  group: number,
  rowCount: number,
  codes: Int8Array,
): Promise<Float32Array> {
  const [channels = 1, height, width] = window;
  const isGemm = window.length === 1;
  const dims = isGemm ? [1, channels] : [1, channels * group, height!, width!];
  const quantized = (tensor: string, from: string, scale: string, zero: string): NodeSpec[] => [
    {
      opType: 'QuantizeLinear',
      name: `${tensor}q`,
      inputs: [from, scale, zero],
      outputs: [`${tensor}q`],
    },
    {
      opType: 'DequantizeLinear',
      name: tensor,
      inputs: [`${tensor}q`, scale, zero],
      outputs: [tensor],
    },
  ];
  const model = smallModel({
    input: dims,
    output: 'y',
    nodes: [
      ...quantized('x', 'input', 'one', 'zero'),
      { opType: 'DequantizeLinear', name: 'w', inputs: ['wq', 'one', 'signed'], outputs: ['w'] },
      layerSpec(group, window),
      ...quantized('y', 'sums', 'large', 'zero'),
    ],
    tensors: [
      makeTensor('wq', [rowCount, ...window], codes),
      makeTensor('one', [], Float32Array.of(1)),
      makeTensor('large', [], Float32Array.of(OUTPUT_SCALE)),
      makeTensor('zero', [], Uint8Array.of(0)),
      makeTensor('signed', [], Int8Array.of(0)),
    ],
  });
  const count = dims.reduce((product, size) => product * size, 1);
  const outputs = await run(encodeOnnx(model), model, new Float32Array(count).fill(255), 'all');
  return outputs['y']!;
}
