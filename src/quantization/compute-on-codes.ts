import { makeTensor } from '../onnx/build.ts';
import { nameMaker, soleConsumer, type GraphIndex } from '../onnx/graph-edit.ts';
import { createLiveIndex } from '../onnx/live-index.ts';
import type { OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { isFloatTensor, readFloats } from '../onnx/tensor-data.ts';
import { quantizeLinear } from './linear.ts';
import type { ActivationParameters } from './parameters.ts';

const MOVED = new Set(['Pad', 'Relu', 'Clip', 'SpaceToDepth']);

/**
 * Moves Pad, Relu, Clip and SpaceToDepth between a DequantizeLinear and a QuantizeLinear of the same
 * parameters onto the uint8 codes: onnxruntime has integer kernels of all but Relu, and does not fuse the
 * float ones. A Relu is a Clip from the zero point on.
 */
export function computeOnCodes(
  graph: OnnxGraph,
  parametersOf: (tensor: string) => ActivationParameters | undefined,
): void {
  const newName = nameMaker(graph);
  const index = createLiveIndex(graph);
  for (const node of graph.node) {
    if (!MOVED.has(node.opType)) continue;
    const [output = ''] = node.output;
    const dequantize = index.producers.get(node.input[0] ?? '');
    const quantize = soleConsumer(index, output);
    const parameters = parametersOf(output);
    if (dequantize?.opType !== 'DequantizeLinear' || quantize?.opType !== 'QuantizeLinear')
      continue;
    if (parameters === undefined || !sameParameters(dequantize, quantize, index)) continue;
    const codeOf = (value: number): string => {
      const name = newName(`${output}_code`);
      const codes = quantizeLinear(Float32Array.of(value), parameters);
      index.addInitializer(makeTensor(name, [], Uint8Array.from(codes)));
      return name;
    };
    const names = node.opType === 'Pad' ? node.input.slice(2, 3) : node.input.slice(1);
    if (names.some((name) => name !== '' && !index.initializers.has(name))) continue;
    const values = names.map((name) => index.initializers.get(name));
    if (
      values.some(
        (tensor) => tensor !== undefined && !isFloatTensor(tensor) && node.opType === 'Clip',
      )
    )
      continue;
    const [codes = ''] = dequantize.input;
    const bound = (position: number, fallback: number): string => {
      const tensor = values[position];
      return codeOf(tensor === undefined ? fallback : (readFloats(tensor)[0] ?? fallback));
    };
    if (node.opType === 'SpaceToDepth') {
      index.setInputs(node, [codes]);
    } else if (node.opType === 'Pad') {
      // The pads and the axes stay as they are.
      index.setInputs(node, [codes, node.input[1] ?? '', bound(0, 0), ...node.input.slice(3)]);
    } else if (node.opType === 'Relu') {
      node.opType = 'Clip';
      index.setInputs(node, [codes, codeOf(0)]);
    } else {
      index.setInputs(node, [codes, bound(0, -Infinity), bound(1, Infinity)]);
    }
    const coded = [...quantize.output];
    index.replaceNode(quantize);
    index.setOutputs(node, coded);
  }
  index.settle();
}

/** Whether scale and zero point of the two hold the same bytes. */
function sameParameters(a: OnnxNode, b: OnnxNode, { initializers }: GraphIndex): boolean {
  return [1, 2].every((position) => {
    const [x, y] = [a, b].map((node) => initializers.get(node.input[position] ?? ''));
    return x !== undefined && y !== undefined && Buffer.compare(x.rawData, y.rawData) === 0;
  });
}
