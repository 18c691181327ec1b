import { makeNode, makeTensor, makeValueInfo } from '../../onnx/build.ts';
import { nameMaker } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxGraph, type OnnxModel } from '../../onnx/model.ts';
import { ownWeights } from '../../onnx/tensor-data.ts';
import { inferGraph } from '../../onnx/shape-inference.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import type { CollectRequest } from '../../workers/tasks/collect-outputs.ts';
import { sampleStep } from '../observation-model.ts';
import { runOverImages } from '../run-over-images.ts';
import { withScratchModel, type ScratchModelOptions } from '../scratch-model.ts';
import { chooseEqualization } from './choose-equalization.ts';
import { applyEqualization, type ChannelChange, type ChannelRanges } from './equalization.ts';
import { findEqualizationPairs, type EqualizationPair } from './equalization-pairs.ts';
import { evenlySpaced } from '../../numeric/evenly-spaced.ts';
import type { Equalization } from '../choices.ts';
import type { ImagePass } from '../image-pass.ts';

export interface EqualizeOptions extends ImagePass {
  /** Prepared by `prepareModel`; unchanged. */
  readonly model: OnnxModel;
  readonly method: Exclude<Equalization, 'none'>;
  readonly batchSize: number;
}

export interface EqualizedModel {
  readonly changes: ChannelChange[];
  /** With the changes carried out. */
  readonly model: OnnxModel;
}

/**
 * Changes of channels between layers that leave the function as it is: verified on images, pair by
 * pair, to 1e-5 of the second layer's output; pairs that fail are left out. One pass over some of the
 * images for the ranges of channels.
 */
export async function equalize(all: EqualizeOptions): Promise<EqualizedModel> {
  const images = { ...all.images, indices: evenlySpaced(all.images.indices, MOST_IMAGES) };
  const options = { ...all, images };
  const graph = graphOf(options.model);
  const pairs = findEqualizationPairs(graph);
  const ranges = pairs.length === 0 ? [] : await channelRanges(options, pairs);
  const chosen = chooseEqualization(graph, pairs, ranges, {
    method: options.method,
    // The fewer images were seen, the further others may reach.
    margin: 1 + 1 / Math.sqrt(images.indices.length),
  });
  const outputs = pairs.map(({ second }) => second.output[0] ?? '');
  const { shapes } = inferGraph(graph);
  const verified: VerifiedOutputs = {
    imageCount: Math.min(images.indices.length, VERIFIED_COUNT),
    outputs,
    shapes,
    steps: outputs.map((output) => sampleStep(shapes.get(output) ?? [])),
  };
  const equalized = (changes: readonly ChannelChange[]): OnnxModel => {
    const model = cloneModel(options.model);
    applyEqualization(graphOf(model), changes);
    return model;
  };
  const model = equalized(chosen);
  if (chosen.length === 0) return { changes: chosen, model };
  const [before, after] = await Promise.all(
    [options.model, model].map((each) => sampleOutputs(options, each, verified)),
  );
  const failed = failingPairs(pairs, chosen, { ...verified, before: before!, after: after! }); // two models
  // Leaving out a pair changes nothing of the others, which agreed even behind it.
  const changes = chosen.filter(({ tensor }) => !failed.has(tensor));
  const final = failed.size === 0 ? model : equalized(changes);
  if (changes.length > 0) ownWeights(graphOf(final).initializer); // most are new
  return { changes, model: final };
}

/**
 * What the ranges of channels are taken from; the range of each tensor is found on all images later.
 * With 48 of 128 the logits of four networks were as close as with all: 30.8 and 29.9 dB, 22.8 and
 * 22.7, 16.0 and 16.2, 28.5 and 28.7.
 */
const MOST_IMAGES = 48;

/** What a ReLU has cut off at 0 has no least value below; one above it matters to shifts alone. */
function needsLeast({ isRectified, absorbs }: EqualizationPair): boolean {
  return !isRectified || absorbs;
}

async function channelRanges(
  options: EqualizeOptions,
  pairs: readonly EqualizationPair[],
): Promise<ChannelRanges[]> {
  const copy = cloneModel(options.model);
  const graph = graphOf(copy);
  const newName = nameMaker(graph);
  const add = (opType: string, input: string): string => {
    const output = newName(`${input}_${opType}`);
    graph.node.push(
      makeNode({ opType, name: newName(output), inputs: [input], outputs: [output] }),
    );
    return output;
  };
  // [N, C, H, W] → [N, C, 1, 1]; a Gemm's output is [N, C] already. No Reduce operator, since the form
  // of those depends on the opset.
  const highest = (tensor: string, { first }: EqualizationPair): string =>
    first.opType === 'Conv' ? add('GlobalMaxPool', tensor) : tensor;
  const outputs = pairs.map((pair) => ({
    max: highest(pair.activation, pair),
    // It takes a network's own blocked layout apart, so only where it is needed.
    negatedMin: needsLeast(pair) ? highest(add('Neg', pair.activation), pair) : null,
  }));
  const names = outputs.flatMap(({ max, negatedMin }) =>
    negatedMin === null ? [max] : [max, negatedMin],
  );
  setOutputs(copy, [...new Set(names)]);
  const ranges = pairs.map((pair) => ({
    min: new Float64Array(pair.channelCount).fill(needsLeast(pair) ? Infinity : 0),
    max: new Float64Array(pair.channelCount).fill(-Infinity),
  }));
  await collect(options, copy, names, options.images, (values) => {
    const byName = new Map(names.map((name, i) => [name, values[i]]));
    for (const [i, { min, max }] of ranges.entries()) {
      const count = min.length;
      const { negatedMin, max: highestName } = outputs[i]!; // one a pair
      byName.get(negatedMin ?? '')?.forEach((value, at) => {
        min[at % count] = Math.min(min[at % count]!, -value); // rows of `count`
      });
      byName.get(highestName)?.forEach((value, at) => {
        max[at % count] = Math.max(max[at % count]!, value);
      });
    }
  });
  return ranges;
}

/** Images a change is verified on. It is wrong on each or on none. */
const VERIFIED_COUNT = 2;
const TOLERANCE = 1e-5;

interface VerifiedOutputs {
  readonly imageCount: number;
  /** Of the second layer of each pair; likewise the next two. */
  readonly outputs: readonly string[];
  readonly steps: readonly number[];
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** Every so many values of the outputs, for a few images. */
async function sampleOutputs(
  options: EqualizeOptions,
  model: OnnxModel,
  { outputs, steps, imageCount }: VerifiedOutputs,
): Promise<readonly Float32Array[]> {
  const copy = cloneModel(model);
  const samples = addSamples(graphOf(copy), outputs, steps);
  setOutputs(copy, samples);
  const indices = options.images.indices.slice(0, imageCount);
  const quiet = { ...options, onProgress: () => undefined };
  let results: readonly Float32Array[] = [];
  const selection = { ...options.images, indices };
  // For so few images optimising the graph would take longer than running it.
  await collect({ ...quiet, graphOptimization: 'disabled' }, copy, samples, selection, (values) => {
    results = values; // the images are one chunk
  });
  return results;
}

/** Tensors of the pairs whose second layer gives something else than in the float model. */
function failingPairs(
  pairs: readonly EqualizationPair[],
  changes: readonly ChannelChange[],
  {
    outputs,
    steps,
    shapes,
    imageCount,
    before,
    after,
  }: VerifiedOutputs & Readonly<Record<'before' | 'after', readonly Float32Array[]>>,
): Set<string> {
  const changed = new Map(changes.map((change) => [change.tensor, change]));
  const failed = new Set<string>();
  for (const [i, { tensor }] of pairs.entries()) {
    if (!changed.has(tensor)) continue;
    const output = outputs[i]!; // one a pair, as everything here
    const shape = shapes.get(output);
    const sampled = {
      reference: before[i]!,
      actual: after[i]!,
      step: steps[i]!,
      imageCount,
      area: (shape ?? [NaN]).slice(2).reduce((product, size) => product * size, shape ? 1 : NaN),
    };
    // The second layer's own output may be the first of another pair.
    const { length } = sampled.reference;
    if (length === 0 || !agrees(sampled, changed.get(output))) failed.add(tensor);
  }
  return failed;
}

/** Every so many values of each tensor, all channels among them: whole tensors are 66 MB of a ResNet-50. */
function addSamples(
  graph: OnnxGraph,
  tensors: readonly string[],
  steps: readonly number[],
): string[] {
  const newName = nameMaker(graph);
  const integer = (wanted: string, ...values: readonly bigint[]): string => {
    const name = newName(wanted);
    graph.initializer.push(makeTensor(name, [values.length], BigInt64Array.from(values)));
    return name;
  };
  const [begin, end, axis] = [integer('begin', 0n), integer('end', 2n ** 53n), integer('axis', 1n)];
  return tensors.map((tensor, i) => {
    const flat = newName(`${tensor}_flat`);
    const sample = newName(`${tensor}_sample`);
    const step = integer('step', BigInt(steps[i] ?? 1));
    graph.node.push(
      makeNode({ opType: 'Flatten', name: flat, inputs: [tensor], outputs: [flat] }),
      makeNode({
        opType: 'Slice',
        name: sample,
        inputs: [flat, begin, end, axis, step],
        outputs: [sample],
      }),
    );
    return sample;
  });
}

interface SampledOutputs {
  /** Every `step`-th value of [C, area] of each image. */
  readonly reference: Float32Array;
  readonly actual: Float32Array;
  readonly step: number;
  readonly imageCount: number;
  /** NaN where it is not known; the step is 1 then. */
  readonly area: number;
}

function agrees(
  { reference, actual, step, imageCount, area: knownArea }: SampledOutputs,
  change: ChannelChange | undefined,
): boolean {
  const count = reference.length / imageCount;
  const area = Number.isNaN(knownArea) ? count / (change?.scales.length ?? 1) : knownArea;
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < reference.length; i += 1) {
    const channel = Math.floor(((i % count) * step) / area);
    const scale = change?.scales[channel] ?? 1;
    const shift = change?.shifts?.[channel] ?? 0;
    const value = reference[i]!; // both have the same shape
    largest = Math.max(largest, Math.abs(value));
    difference = Math.max(difference, Math.abs(value - (actual[i]! / scale + shift)));
  }
  return difference <= TOLERANCE * largest;
}

function setOutputs(model: OnnxModel, names: readonly string[]): void {
  graphOf(model).output = names.map((name) => {
    const output = makeValueInfo(name, []);
    // Rank and size are left to onnxruntime: an absent shape means "any".
    if (output.type?.value.case === 'tensorType') delete output.type.value.value.shape;
    return output;
  });
}

/** Runs `model` over the images in one use of a scratch file of its own name. */
async function collect(
  options: EqualizeOptions & Partial<Pick<ScratchModelOptions, 'graphOptimization'>>,
  model: OnnxModel,
  outputs: readonly string[],
  images: ImageSelection,
  onChunk: (values: readonly Float32Array[]) => void,
): Promise<void> {
  const scratch = { graphOptimization: 'all' as const, ...options, model, name: 'equalized' };
  await withScratchModel(scratch, (file) =>
    runOverImages<CollectRequest, readonly Float32Array[]>({
      ...options,
      task: 'collect-outputs',
      run: { ...file, images, batchSize: options.batchSize },
      request: (run) => ({ run, outputs }),
      onChunk,
    }),
  );
}
