import {
  integerOf,
  integersOf,
  removeAttributes,
  setInteger,
  stringOf,
} from '../onnx/attributes.ts';
import { makeNode, makeTensor, type TensorData } from '../onnx/build.ts';
import { indexGraph, nameMaker, sortNodes, type GraphIndex } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxModel, type OnnxNode } from '../onnx/model.ts';
import { inferGraph } from '../onnx/shape-inference.ts';
import type { Target } from './choices.ts';
import { LARGEST_MEETING_SUM } from './code-bounds.ts';

/**
 * Makes average pools of images depthwise convolutions, in place and after quantization: the same sums,
 * in a kernel that onnxruntime has in integers. Its QLinearAveragePool goes through float and takes
 * thirty times as long (3x3, 35 x 35 to 8 x 8, nine of them: 10.3 ms of an Inception-V3's 39.7, 0.3 as
 * convolutions; 1.30, AVX512-VNNI, one thread). Every weight is 1 / (kH · kW), exactly: one code, the
 * largest of the target's (see `codeBounds`).
 */
export function poolByConvolution(model: OnnxModel, target: Target): void {
  const code = target === 'portable' ? LARGEST_MEETING_SUM / 2 : LARGEST_CODE;
  const graph = graphOf(model);
  const index = indexGraph(graph); // what is added is not looked up
  const pools = graph.node.filter((node) => isIntegerPool(node, index));
  if (pools.length === 0) return;
  const { shapes } = inferGraph(graph);
  const newName = nameMaker(graph);
  const addTensor = (name: string, dims: readonly number[], data: TensorData): string => {
    graph.initializer.push(makeTensor(name, dims, data));
    return name;
  };
  for (const pool of pools) {
    const shape = shapes.get(pool.input[0] ?? '') ?? [];
    const window = integersOf(pool, 'kernel_shape') ?? [];
    const [, channelCount = NaN] = shape;
    if (shape.length !== 4 || window.length !== 2 || !Number.isInteger(channelCount)) continue;
    if (integerOf(pool, 'ceil_mode', 0) !== 0 && !endsWithImage(pool, shape, window)) continue;
    const area = window.reduce((product, size) => product * size, 1);
    const weights = newName(`${pool.output[0] ?? ''}_weights`);
    const codes = addTensor(
      newName(`${weights}_quantized`),
      [channelCount, 1, ...window],
      new Int8Array(channelCount * area).fill(code),
    );
    const step = Float32Array.of(1 / (area * code));
    const scale = addTensor(newName(`${weights}_scale`), [], step);
    const zeroPoint = addTensor(newName(`${weights}_zero_point`), [], Int8Array.of(0));
    graph.node.push(
      makeNode({
        opType: 'DequantizeLinear',
        name: newName(`${weights}/dequantize`),
        inputs: [codes, scale, zeroPoint],
        outputs: [weights],
      }),
    );
    pool.opType = 'Conv';
    pool.input = [pool.input[0] ?? '', weights];
    setInteger(pool, 'group', channelCount);
    removeAttributes(pool, 'count_include_pad', 'ceil_mode');
  }
  sortNodes(graph);
}

/** Depthwise convolutions of onnxruntime add in 32 bits, so no two weights meet. */
const LARGEST_CODE = 127;

/** Between integers on both sides, and of windows that all count the same number of values. */
function isIntegerPool(node: OnnxNode, { producers, consumers, outputs }: GraphIndex): boolean {
  if (node.opType !== 'AveragePool') return false;
  const output = node.output[0] ?? '';
  const readers = consumers.get(output) ?? [];
  return (
    producers.get(node.input[0] ?? '')?.opType === 'DequantizeLinear' &&
    readers.length > 0 &&
    readers.every(({ opType }) => opType === 'QuantizeLinear') &&
    !outputs.has(output) &&
    countsPadding(node)
  );
}

/** Whether values in the padding count as zeros, as they do for a convolution; or there is none. */
function countsPadding(node: OnnxNode): boolean {
  if (integerOf(node, 'count_include_pad', 0) !== 0) return true;
  const isSame = stringOf(node, 'auto_pad', 'NOTSET').startsWith('SAME');
  return !isSame && (integersOf(node, 'pads') ?? []).every((size) => size === 0);
}

/** Whether the last window ends where the image of [N, C, H, W] does, so that sizes are rounded nowhere. */
function endsWithImage(
  node: OnnxNode,
  shape: readonly number[],
  window: readonly number[],
): boolean {
  const pads = integersOf(node, 'pads') ?? [0, 0, 0, 0];
  const strides = integersOf(node, 'strides') ?? [1, 1];
  return window.every((size, i) => {
    const padded = (shape[i + 2] ?? NaN) + (pads[i] ?? 0) + (pads[i + 2] ?? 0);
    return (padded - size) % (strides[i] ?? 1) === 0;
  });
}
