import { makeNode, makeTensor } from '../../onnx/build.ts';
import { nameMaker } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxGraph, type OnnxModel } from '../../onnx/model.ts';
import { sampleStep } from '../observation-model.ts';
import { collectOutputs, setOutputs, type CollectOptions } from './collect-tensors.ts';
import type { ChannelChange } from './equalization.ts';

/** Images a change is verified on. It is wrong on each or on none. */
const VERIFIED_COUNT = 1;
const TOLERANCE = 1e-5;

export interface VerifyOptions {
  /** With the changes carried out. */
  readonly changed: OnnxModel;
  readonly changes: readonly ChannelChange[];
  /** Outputs of the layers that read what is changed. */
  readonly outputs: readonly string[];
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** Those of `outputs` that are something else than in the float model, their own scale apart. */
export async function differingOutputs(
  options: CollectOptions,
  { changed, changes, outputs, shapes }: VerifyOptions,
): Promise<string[]> {
  const imageCount = Math.min(options.images.indices.length, VERIFIED_COUNT);
  const steps = outputs.map((output) => sampleStep(shapes.get(output) ?? []));
  // One after the other: side by side they would map both models' weights, which is a ResNet-50's peak.
  const samples = { outputs, steps, imageCount };
  const before = await sampleOutputs(options, options.model, samples);
  const after = await sampleOutputs(options, changed, samples);
  const byTensor = new Map(changes.map((change) => [change.tensor, change]));
  return outputs.filter((output, i) => {
    const shape = shapes.get(output);
    const sampled = {
      reference: before[i]!, // a sample an output
      actual: after[i]!,
      step: steps[i]!,
      imageCount,
      area: (shape ?? [NaN]).slice(2).reduce((product, size) => product * size, shape ? 1 : NaN),
    };
    return sampled.reference.length === 0 || !agrees(sampled, byTensor.get(output));
  });
}

interface Samples {
  readonly imageCount: number;
  readonly outputs: readonly string[];
  readonly steps: readonly number[];
}

/** Every so many values of the outputs, for a few images. */
async function sampleOutputs(
  options: CollectOptions,
  model: OnnxModel,
  { outputs, steps, imageCount }: Samples,
): Promise<readonly Float32Array[]> {
  const copy = cloneModel(model);
  const samples = addSamples(graphOf(copy), outputs, steps);
  setOutputs(copy, samples);
  const indices = options.images.indices.slice(0, imageCount);
  const quiet = { ...options, onProgress: () => undefined, graphOptimization: 'disabled' as const };
  let results: readonly Float32Array[] = [];
  const selection = { ...options.images, indices };
  // For so few images optimising the graph would take longer than running it.
  await collectOutputs(quiet, copy, samples, selection, (values) => {
    results = values; // the images are one chunk
  });
  return results;
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
