import { floatOf, integerOf, integersOf, removeAttributes, stringOf } from '../attributes.ts';
import { makeTensor } from '../build.ts';
import { nameMaker, pruneNodes, soleConsumer } from '../graph-edit.ts';
import { createLiveIndex, type LiveIndex } from '../live-index.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../model.ts';
import { inferGraph, type Shape } from '../shape-inference.ts';
import { dimsOf, isFloatTensor, readFloats } from '../tensor-data.ts';
import { findGelus } from './find-gelus.ts';
import { depthwise, elementwise, isInputOf } from './standalone-affine.ts';

/**
 * Folds what scales and shifts each channel by constants (BatchNormalization; Mul, Add, Sub and Div
 * with a constant; HardSigmoid, which then leaves a Clip) into the Conv or Gemm before it:
 * w' = w · γ / √(σ² + ε), b' = (b - μ) · γ / √(σ² + ε) + β (Jacob et al. 2018, section 3.2), in float64.
 * Where no layer stands before it: into the one after it if that pads no image with zeros, else a
 * depthwise 1x1 Conv is made, which int8 weights with a scale a channel represent without rounding, of the
 * model's input a Mul and an Add, which stay float.
 * The tensor after the last folded node keeps its name. GELUs stay whole.
 */
export function foldAffine(graph: OnnxGraph): void {
  const state: FoldState = {
    graph,
    newName: nameMaker(graph),
    shapes: inferGraph(graph).shapes,
    index: createLiveIndex(graph),
  };
  foldBackward(state);
  foldStandalone(state);
  state.index.settle();
  pruneNodes(graph);
}

interface FoldState {
  readonly graph: OnnxGraph;
  readonly newName: (wanted: string) => string;
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly index: LiveIndex;
}

interface ChannelAffine {
  /** The tensor that is scaled and shifted. */
  readonly input: string;
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

function foldBackward(state: FoldState): void {
  for (const node of [...state.graph.node]) {
    if (node.opType !== 'Conv' && node.opType !== 'Gemm') continue;
    for (;;) {
      const consumer = soleConsumer(state.index, node.output[0] ?? '');
      if (consumer === undefined || !foldInto(node, consumer, state)) break;
      if (consumer.opType === 'HardSigmoid') {
        becomeClip(consumer, state);
        break;
      }
      state.index.replaceNode(consumer);
      state.index.setOutputs(node, [consumer.output[0] ?? '']);
    }
  }
  state.index.settle();
}

/** Changes the layer's weights and bias so that it does what `consumer` does to its output. */
function foldInto(node: OnnxNode, consumer: OnnxNode, state: FoldState): boolean {
  const { index, newName } = state;
  const weight = index.initializers.get(node.input[1] ?? '');
  const biasName = node.input[2] ?? '';
  const bias = index.initializers.get(biasName);
  if (weight === undefined || !isFloatTensor(weight)) return false;
  if (biasName !== '' && (bias === undefined || !isFloatTensor(bias))) return false;
  if (node.opType === 'Gemm' && !isPlainGemm(node, weight)) return false;
  const axis = channelAxis(node);
  const channels = dimsOf(weight)[axis] ?? 0;
  if (bias !== undefined && bias.dims.join() !== String(channels)) return false;
  const affine = affineOf(consumer, channels, state);
  if (affine === undefined || affine.input !== node.output[0]) return false;

  const { scale, shift } = affine;
  const oldBias = bias === undefined ? undefined : readFloats(bias);
  const values = Float32Array.from(shift, (value, c) => value + scale[c]! * (oldBias?.[c] ?? 0)); // one a channel
  const weightName = newName(`${weight.name}_folded`);
  const foldedBias = newName(bias === undefined ? `${weight.name}_bias` : `${bias.name}_folded`);
  index.addInitializer(makeTensor(weightName, dimsOf(weight), scaleWeight(weight, scale, axis)));
  index.addInitializer(makeTensor(foldedBias, [channels], values));
  index.setInputs(node, [node.input[0] ?? '', weightName, foldedBias]);
  return true;
}

function becomeClip(node: OnnxNode, { index, newName }: FoldState): void {
  const low = newName(`${node.output[0] ?? ''}_min`);
  const high = newName(`${node.output[0] ?? ''}_max`);
  index.addInitializer(makeTensor(low, [], Float32Array.of(0)));
  index.addInitializer(makeTensor(high, [], Float32Array.of(1)));
  node.opType = 'Clip';
  index.setInputs(node, [node.input[0] ?? '', low, high]);
  removeAttributes(node, 'alpha', 'beta');
}

/** Chains of scalings and shifts with no layer before them that could take them in. */
function foldStandalone(state: FoldState): void {
  const gone = new Set(findGelus(state.graph).flatMap(({ nodes }) => nodes));
  for (const node of [...state.graph.node]) {
    if (gone.has(node) || node.opType === 'HardSigmoid') continue;
    const chain = chainFrom(node, state);
    if (chain === undefined) continue;
    for (const other of chain.nodes) gone.add(other);
    if (foldForward(chain, state)) continue;
    if (chain.rank === 4 && (chain.nodes.length > 1 || chain.perChannel))
      becomeStandalone(chain, state);
    else for (const single of chain.nodes) becomeMulOrAdd(single, state);
  }
}

interface Chain extends ChannelAffine {
  readonly nodes: readonly OnnxNode[];
  readonly output: string;
  readonly rank: number;
  readonly perChannel: boolean;
}

function chainFrom(start: OnnxNode, state: FoldState): Chain | undefined {
  const found = state.shapes.get(start.output[0] ?? '');
  const channels = found?.[1] ?? NaN;
  if (found === undefined || !Number.isInteger(channels)) return undefined;
  let sum = affineOf(start, channels, state);
  if (sum === undefined) return undefined;
  const { input } = sum;
  // A constant may also repeat one channel as often as it has values.
  const before = state.shapes.get(input);
  if (before?.length !== found.length || before[1] !== channels) return undefined;
  const nodes = [start];
  for (;;) {
    const last = nodes[nodes.length - 1]!.output[0] ?? ''; // the chain is not empty
    const next = soleConsumer(state.index, last);
    const affine =
      next === undefined || next.opType === 'HardSigmoid'
        ? undefined
        : affineOf(next, channels, state);
    if (next === undefined || affine?.input !== last) {
      const perChannel = !(isUniform(sum.scale) && isUniform(sum.shift));
      return { ...sum, input, nodes, output: last, rank: found.length, perChannel };
    }
    const { scale, shift }: ChannelAffine = sum;
    sum = {
      input,
      scale: scale.map((value, c) => value * affine.scale[c]!), // all have one value a channel
      shift: shift.map((value, c) => value * affine.scale[c]! + affine.shift[c]!),
    };
    nodes.push(next);
  }
}

/** Takes the chain into the layer that alone reads it: W(s·x + t) + b = (W·s)x + (W·t + b). */
function foldForward(chain: Chain, state: FoldState): boolean {
  const { index, newName } = state;
  const layer = soleConsumer(index, chain.output);
  if (layer?.input[0] !== chain.output) return false;
  if (layer.opType !== 'Conv' && layer.opType !== 'Gemm') return false;
  const weight = index.initializers.get(layer.input[1] ?? '');
  const biasName = layer.input[2] ?? '';
  const bias = index.initializers.get(biasName);
  if (weight === undefined || !isFloatTensor(weight)) return false;
  if (biasName !== '' && (bias === undefined || !isFloatTensor(bias))) return false;
  // Zeros that a convolution pads with stay zeros under a scaling, not under a shift.
  const shifts = chain.shift.some((value) => value !== 0);
  if (layer.opType === 'Gemm' && !isPlainGemm(layer, weight)) return false;
  if (layer.opType === 'Conv' && shifts && padsAnything(layer)) return false;
  const axis = channelAxis(layer);
  const dims = dimsOf(weight);
  const outputs = dims[axis] ?? 0;
  const values = readFloats(weight);
  const group = layer.opType === 'Conv' ? integerOf(layer, 'group', 1) : 1;
  const perGroup = axis === 0 ? (dims[1] ?? 0) : (dims[0] ?? 0);
  if (perGroup * group !== chain.scale.length) return false;
  const area = values.length / (outputs * perGroup);
  const layout = { outputs, perGroup, group, area, isOutputFirst: axis === 0 };
  const added = scaleInputs(values, layout, chain);
  const oldBias = bias === undefined ? undefined : readFloats(bias);
  const weightName = newName(`${weight.name}_folded`);
  const foldedBias = newName(bias === undefined ? `${weight.name}_bias` : `${bias.name}_folded`);
  const biases = Float32Array.from(added, (value, c) => value + (oldBias?.[c] ?? 0));
  index.addInitializer(makeTensor(weightName, dims, values));
  index.addInitializer(makeTensor(foldedBias, [outputs], biases));
  index.setInputs(layer, [chain.input, weightName, foldedBias]);
  for (const node of chain.nodes) index.replaceNode(node);
  return true;
}

interface WeightLayout {
  readonly outputs: number;
  /** Inputs of an output. */
  readonly perGroup: number;
  readonly group: number;
  /** kH · kW */
  readonly area: number;
  /** [M, C/group, kH, kW] or [M, K]; else [K, M]. */
  readonly isOutputFirst: boolean;
}

/** Scales weights by their input channel, in place; returns what the shifts add to each output. */
function scaleInputs(
  values: Float32Array,
  { outputs, perGroup, group, area, isOutputFirst }: WeightLayout,
  affine: Pick<ChannelAffine, 'scale' | 'shift'>,
): Float64Array {
  const [scale, shift] = [Float64Array.from(affine.scale), Float64Array.from(affine.shift)];
  const [outputStep, inputStep] = isOutputFirst ? [perGroup * area, area] : [1, outputs];
  const added = new Float64Array(outputs);
  for (let output = 0; output < outputs; output += 1) {
    const firstChannel = Math.floor(output / (outputs / group)) * perGroup;
    let sum = 0;
    for (let n = 0; n < perGroup; n += 1) {
      // There are outputs · perGroup · area values, and perGroup · group channels.
      const factor = scale[firstChannel + n]!;
      const offset = shift[firstChannel + n]!;
      const first = output * outputStep + n * inputStep;
      for (let i = first; i < first + area; i += 1) {
        const value = values[i]!;
        sum += value * offset;
        values[i] = value * factor;
      }
    }
    added[output] = sum;
  }
  return added;
}

function becomeStandalone(chain: Chain, { index, newName }: FoldState): void {
  const [first] = chain.nodes;
  const form = isInputOf(first, chain.input, index) ? elementwise : depthwise;
  const { nodes, constants } = form({ ...chain, name: first?.name ?? '' }, newName);
  if (nodes.length === 0) return; // it changes nothing
  for (const constant of constants) index.addInitializer(constant);
  const last = chain.nodes.at(-1);
  for (const node of chain.nodes) index.replaceNode(node, node === last ? nodes : []);
}

/** onnxruntime has integer forms of Mul and Add, none of Div and Sub. */
function becomeMulOrAdd(node: OnnxNode, { newName, index }: FoldState): void {
  const [input = '', constant = ''] = node.input;
  const tensor = index.initializers.get(constant);
  if (tensor === undefined || (node.opType !== 'Div' && node.opType !== 'Sub')) return;
  const isDiv = node.opType === 'Div';
  const values = readFloats(tensor).map((value) => (isDiv ? 1 / value : -value));
  const name = newName(`${constant}_${isDiv ? 'reciprocal' : 'negative'}`);
  index.addInitializer(makeTensor(name, dimsOf(tensor), values));
  node.opType = isDiv ? 'Mul' : 'Add';
  index.setInputs(node, [input, name]);
}

/** y = scale · x + shift per channel, or undefined where a node does something else. */
function affineOf(node: OnnxNode, channels: number, state: FoldState): ChannelAffine | undefined {
  const [a = '', b = ''] = node.input;
  switch (node.opType) {
    case 'BatchNormalization': {
      const affine = batchNormAffine(node, state.index.initializers);
      return affine?.scale.length === channels ? { input: a, ...affine } : undefined;
    }
    case 'HardSigmoid': {
      const alpha = floatOf(node, 'alpha', 0.2);
      const beta = floatOf(node, 'beta', 0.5);
      return { input: a, ...uniform(channels, alpha, beta) };
    }
    case 'Add':
    case 'Sub':
    case 'Mul':
    case 'Div':
      break;
    default:
      return undefined;
  }
  const constantFirst = state.index.initializers.has(a);
  const input = constantFirst ? b : a;
  const rank = state.shapes.get(input)?.length;
  const tensor = state.index.initializers.get(constantFirst ? a : b);
  if (tensor === undefined || rank === undefined || state.index.initializers.has(input))
    return undefined;
  const values = channelValues(tensor, channels, rank);
  if (!values?.every(Number.isFinite)) return undefined;
  const ones = new Float64Array(channels).fill(1);
  const zeros = new Float64Array(channels);
  switch (node.opType) {
    case 'Add':
      return { input, scale: ones, shift: values };
    case 'Sub':
      return constantFirst
        ? { input, scale: ones.map((value) => -value), shift: values }
        : { input, scale: ones, shift: values.map((value) => -value) };
    case 'Mul':
      return { input, scale: values, shift: zeros };
    default:
      // A constant divided by the tensor is no scaling.
      if (constantFirst || values.includes(0)) return undefined;
      return { input, scale: values.map((value) => 1 / value), shift: zeros };
  }
}

/** One value a channel where the constant broadcasts so over [N, C, …] of this rank. */
function channelValues(
  tensor: Initializer,
  channels: number,
  rank: number,
): Float64Array | undefined {
  if (!isFloatTensor(tensor) || tensor.dims.length > rank) return undefined;
  const dims = [...Array.from({ length: rank - tensor.dims.length }, () => 1), ...dimsOf(tensor)];
  if (dims.some((dim, i) => dim !== 1 && !(i === 1 && dim === channels))) return undefined;
  const values = readFloats(tensor);
  return Float64Array.from({ length: channels }, (_, c) => values[values.length === 1 ? 0 : c]!); // checked above
}

function batchNormAffine(
  node: OnnxNode,
  initializers: ReadonlyMap<string, Initializer>,
): Omit<ChannelAffine, 'input'> | undefined {
  if (node.output.slice(1).some((name) => name !== '')) return undefined; // a training graph
  const parameters = node.input.slice(1, 5).map((name) => initializers.get(name));
  const [gamma, beta, mean, variance] = parameters.map((tensor) =>
    tensor === undefined || !isFloatTensor(tensor) ? undefined : readFloats(tensor),
  );
  if (!gamma || !beta || !mean || !variance) return undefined;
  if ([beta, mean, variance].some(({ length }) => length !== gamma.length)) return undefined;
  const epsilon = floatOf(node, 'epsilon', 1e-5);
  const scale = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c]! + epsilon)); // of equal length
  return { scale, shift: Float64Array.from(beta, (b, c) => b - mean[c]! * scale[c]!) };
}

function uniform(channels: number, scale: number, shift: number): Omit<ChannelAffine, 'input'> {
  return {
    scale: new Float64Array(channels).fill(scale),
    shift: new Float64Array(channels).fill(shift),
  };
}

function isUniform(values: Float64Array): boolean {
  return values.every((value) => value === values[0]);
}

/** Output channels: axis 0 of Conv weights [M, C/group, kH, kW] and of Gemm's with transB. */
function channelAxis(node: OnnxNode): 0 | 1 {
  return node.opType === 'Gemm' && integerOf(node, 'transB', 0) === 0 ? 1 : 0;
}

function isPlainGemm(node: OnnxNode, weight: Initializer): boolean {
  return (
    integerOf(node, 'transA', 0) === 0 &&
    floatOf(node, 'alpha', 1) === 1 &&
    floatOf(node, 'beta', 1) === 1 &&
    weight.dims.length === 2
  );
}

function padsAnything(conv: OnnxNode): boolean {
  const automatic = stringOf(conv, 'auto_pad', 'NOTSET');
  if (automatic !== 'NOTSET' && automatic !== 'VALID') return true;
  return (integersOf(conv, 'pads') ?? []).some((pad) => pad !== 0);
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
