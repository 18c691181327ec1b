import { attributeOf, integersOf, stringOf } from '../attributes.ts';
import { makeNode } from '../build.ts';
import { indexGraph, soleConsumer } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { readFloats, readIntegers } from '../tensor-data.ts';

/**
 * Moves a Pad with zeros of height and width into the Conv that alone reads it: as a node of its own
 * between quantized tensors it would run in float.
 */
export function foldPad(graph: OnnxGraph): void {
  for (const pad of [...graph.node]) {
    if (pad.opType !== 'Pad') continue;
    const pads = zeroPads(pad, graph);
    const conv = soleConsumer(indexGraph(graph), pad.output[0] ?? '');
    if (pads === undefined || conv?.opType !== 'Conv' || conv.input[0] !== pad.output[0]) continue;
    if (stringOf(conv, 'auto_pad', 'NOTSET') !== 'NOTSET') continue;
    const own = integersOf(conv, 'pads') ?? [0, 0, 0, 0];
    const sum = own.map((value, i) => value + pads[i]!); // both are [top, left, bottom, right]
    const { attribute } = makeNode({
      opType: 'Conv',
      name: '',
      inputs: [],
      outputs: [],
      attributes: { pads: sum },
    });
    conv.attribute = [...conv.attribute.filter(({ name }) => name !== 'pads'), ...attribute];
    conv.input[0] = pad.input[0] ?? '';
    graph.node = graph.node.filter((node) => node !== pad);
  }
}

/** [top, left, bottom, right] where the node pads nothing but these, with zeros. */
function zeroPads(pad: OnnxNode, graph: OnnxGraph): number[] | undefined {
  if (stringOf(pad, 'mode', 'constant') !== 'constant') return undefined;
  if ((pad.input[3] ?? '') !== '' || attributeOf(pad, 'pads') !== undefined) return undefined;
  const constant = (position: number) =>
    graph.initializer.find(({ name }) => name === pad.input[position]);
  const pads = constant(1);
  const value = constant(2);
  if (pads === undefined || ((pad.input[2] ?? '') !== '' && value === undefined)) return undefined;
  if (value !== undefined && readFloats(value)[0] !== 0) return undefined;
  // Begins of [N, C, H, W], then ends.
  const [n0, c0, top, left, n1, c1, bottom, right, ...more] = readIntegers(pads);
  if (more.length > 0 || n0 !== 0 || c0 !== 0 || n1 !== 0 || c1 !== 0) return undefined;
  const spatial = [top, left, bottom, right];
  return spatial.every((size) => size !== undefined && size >= 0)
    ? (spatial as number[])
    : undefined; // checked here
}
