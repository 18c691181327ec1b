import { floatOf, integerOf } from '../attributes.ts';
import { makeTensor } from '../build.ts';
import { indexGraph, nameMaker, soleConsumer } from '../graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { dimsOf, readFloats } from '../tensor-data.ts';

/**
 * Folds each BatchNormalization that alone reads a Conv or Gemm with constant weights into it:
 * w' = w · γ / √(σ² + ε), b' = (b - μ) · γ / √(σ² + ε) + β (Jacob et al. 2018, section 3.2),
 * computed in float64. The tensor after the batch norm keeps its name.
 */
export function foldBatchNorm(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  let index = indexGraph(graph);
  for (const node of [...graph.node]) {
    if (node.opType !== 'Conv' && node.opType !== 'Gemm') continue;
    const batchNorm = soleConsumer(index, node.output[0] ?? '');
    if (batchNorm?.opType !== 'BatchNormalization' || batchNorm.input[0] !== node.output[0])
      continue;
    const affine = channelAffine(batchNorm, index.initializers);
    const weight = index.initializers.get(node.input[1] ?? '');
    if (affine === undefined || weight === undefined) continue;
    const biasName = node.input[2] ?? '';
    const bias = index.initializers.get(biasName);
    if (biasName !== '' && bias === undefined) continue;
    if (node.opType === 'Gemm' && (floatOf(node, 'beta', 1) !== 1 || isTransposedA(node))) continue;

    const folded = scaleWeight(weight, affine.scale, channelAxis(node));
    const shifted = affine.shift.map(
      (shift, c) => shift + affine.scale[c]! * (bias === undefined ? 0 : readFloats(bias)[c]!),
    );
    const weightName = newName(`${weight.name}_folded`);
    const foldedBias = newName(bias === undefined ? `${weight.name}_bias` : `${bias.name}_folded`);
    graph.initializer.push(makeTensor(weightName, dimsOf(weight), folded));
    graph.initializer.push(makeTensor(foldedBias, [shifted.length], Float32Array.from(shifted)));
    node.input = [node.input[0] ?? '', weightName, foldedBias];
    node.output = [batchNorm.output[0] ?? ''];
    graph.node = graph.node.filter((other) => other !== batchNorm);
    index = indexGraph(graph);
  }
}

interface ChannelAffine {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** y = scale · x + shift per channel, or undefined where a parameter is computed in the graph. */
function channelAffine(
  node: OnnxNode,
  initializers: ReadonlyMap<string, Initializer>,
): ChannelAffine | undefined {
  const parameters = node.input.slice(1, 5).map((name) => initializers.get(name));
  const [gamma, beta, mean, variance] = parameters.map((tensor) =>
    tensor === undefined ? undefined : readFloats(tensor),
  );
  if (!gamma || !beta || !mean || !variance) return undefined;
  const epsilon = floatOf(node, 'epsilon', 1e-5);
  const scale = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c]! + epsilon));
  return { scale, shift: Float64Array.from(beta, (b, c) => b - mean[c]! * scale[c]!) };
}

/** Output channels: axis 0 of Conv weights [M, C/group, kH, kW] and of Gemm's with transB. */
function channelAxis(node: OnnxNode): 0 | 1 {
  return node.opType === 'Gemm' && integerOf(node, 'transB', 0) === 0 ? 1 : 0;
}

function isTransposedA(node: OnnxNode): boolean {
  return integerOf(node, 'transA', 0) !== 0;
}

function scaleWeight(weight: Initializer, scale: Float64Array, axis: 0 | 1): Float32Array {
  const values = readFloats(weight);
  const inner = values.length / scale.length; // axis 0: [M, inner]; axis 1: [inner, N]
  for (let i = 0; i < values.length; i += 1) {
    const channel = axis === 0 ? Math.floor(i / inner) : i % scale.length;
    values[i] = values[i]! * scale[channel]!; // both indices lie inside their arrays
  }
  return values;
}
