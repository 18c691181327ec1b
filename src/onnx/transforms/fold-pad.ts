import { attributeOf, integerOf, integersOf, setIntegers, stringOf } from '../attributes.ts';
import { soleConsumer, type GraphIndex } from '../graph-edit.ts';
import { createLiveIndex } from '../live-index.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { readFloats, readIntegers } from '../tensor-data.ts';

/**
 * Moves a Pad of height and width into the node that alone reads it, with zeros into a Conv and with
 * -infinity into a MaxPool: as a node of its own between quantized tensors it would run in float.
 */
export function foldPad(graph: OnnxGraph): void {
  if (!graph.node.some(({ opType }) => opType === 'Pad')) return;
  const index = createLiveIndex(graph);
  for (const pad of graph.node) {
    if (pad.opType !== 'Pad') continue;
    const window = soleConsumer(index, pad.output[0] ?? '');
    if (window === undefined || window.input[0] !== pad.output[0]) continue;
    const pads = spatialPads(pad, index, window.opType === 'MaxPool' ? isBelowAll : isZero);
    if (pads === undefined || stringOf(window, 'auto_pad', 'NOTSET') !== 'NOTSET') continue;
    const own = integersOf(window, 'pads') ?? [0, 0, 0, 0];
    const sum = own.map((value, i) => value + pads[i]!); // both are [top, left, bottom, right]
    if (window.opType !== 'Conv' && !isPoolPaddedBy(window, sum)) continue;
    setIntegers(window, 'pads', sum);
    index.setInputs(window, [pad.input[0] ?? '', ...window.input.slice(1)]);
    index.replaceNode(pad);
  }
  index.settle();
}

/** Whether it is a MaxPool that onnxruntime takes such pads of: each smaller than the window. */
function isPoolPaddedBy(node: OnnxNode, pads: readonly number[]): boolean {
  if (node.opType !== 'MaxPool' || node.output.length > 1) return false; // places count the padding
  if (integerOf(node, 'ceil_mode', 0) !== 0) return false;
  const window = integersOf(node, 'kernel_shape') ?? [];
  return pads.every((size, i) => size < (window[i % 2] ?? 0));
}

const isZero = (value: number): boolean => value === 0;
const LEAST_FLOAT = -3.4028234663852886e38;
const isBelowAll = (value: number): boolean => value <= LEAST_FLOAT;

/** [top, left, bottom, right] where the node pads nothing but these, with a value that will do. */
function spatialPads(
  pad: OnnxNode,
  { initializers }: GraphIndex,
  willDo: (value: number) => boolean,
): number[] | undefined {
  if (stringOf(pad, 'mode', 'constant') !== 'constant') return undefined;
  if ((pad.input[3] ?? '') !== '' || attributeOf(pad, 'pads') !== undefined) return undefined;
  const constant = (position: number) => initializers.get(pad.input[position] ?? '');
  const pads = constant(1);
  const value = constant(2);
  if (pads === undefined || ((pad.input[2] ?? '') !== '' && value === undefined)) return undefined;
  if (!willDo(value === undefined ? 0 : (readFloats(value)[0] ?? 0))) return undefined;
  // Begins of [N, C, H, W], then ends.
  const [n0, c0, top, left, n1, c1, bottom, right, ...more] = readIntegers(pads);
  if (more.length > 0 || n0 !== 0 || c0 !== 0 || n1 !== 0 || c1 !== 0) return undefined;
  const spatial = [top, left, bottom, right];
  return spatial.every((size) => size !== undefined && size >= 0)
    ? (spatial as number[])
    : undefined; // checked here
}
