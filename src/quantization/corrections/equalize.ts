import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeNode, makeValueInfo } from '../../onnx/build.ts';
import { nameMaker } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../onnx/model.ts';
import { writeOnnx } from '../../onnx/writer.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import type { CollectRequest } from '../../workers/tasks/collect-outputs.ts';
import { runOverImages } from '../run-over-images.ts';
import { chooseEqualization, type Equalization } from './choose-equalization.ts';
import { applyEqualization, type ChannelChange, type ChannelRanges } from './equalization.ts';
import { findEqualizationPairs, type EqualizationPair } from './equalization-pairs.ts';

export interface EqualizeOptions {
  /** Prepared by `prepareModel`; unchanged. */
  readonly model: OnnxModel;
  readonly method: Exclude<Equalization, 'none'>;
  readonly images: ImageSelection;
  readonly batchSize: number;
  readonly workerCount: number;
  /** A folder for models with extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Changes of channels between layers that leave the function as it is: verified on images, pair by
 * pair, to 1e-5 of the second layer's output; pairs that fail are left out. One pass over the images
 * for the ranges of channels.
 */
export async function equalize(options: EqualizeOptions): Promise<ChannelChange[]> {
  const graph = graphOf(options.model);
  const pairs = findEqualizationPairs(graph);
  if (pairs.length === 0) return [];
  const ranges = await channelRanges(options, pairs);
  let changes = chooseEqualization(graph, pairs, ranges, {
    method: options.method,
    // The fewer images were seen, the further others may reach.
    margin: 1 + 1 / Math.sqrt(options.images.indices.length),
  });
  // Leaving out a pair changes nothing of the others, so each round can only fail for new reasons.
  for (;;) {
    const failed = await failingPairs(options, pairs, changes);
    if (failed.size === 0) return changes;
    changes = changes.filter(({ tensor }) => !failed.has(tensor));
  }
}

async function channelRanges(
  options: EqualizeOptions,
  pairs: readonly EqualizationPair[],
): Promise<ChannelRanges[]> {
  const copy = cloneModel(options.model);
  const graph = graphOf(copy);
  const newName = nameMaker(graph);
  const outputs: string[] = [];
  const add = (opType: string, input: string): string => {
    const output = newName(`${input}_${opType}`);
    graph.node.push(
      makeNode({ opType, name: newName(output), inputs: [input], outputs: [output] }),
    );
    return output;
  };
  for (const { first, activation } of pairs) {
    const negative = add('Neg', activation);
    // [N, C, H, W] → [N, C, 1, 1]; a Gemm's output is [N, C] already. No Reduce operator, since the
    // form of those depends on the opset.
    for (const tensor of [negative, activation]) {
      outputs.push(first.opType === 'Conv' ? add('GlobalMaxPool', tensor) : tensor);
    }
  }
  setOutputs(copy, [...new Set(outputs)]);
  const ranges = pairs.map(({ channelCount }) => ({
    min: new Float64Array(channelCount).fill(Infinity),
    max: new Float64Array(channelCount).fill(-Infinity),
  }));
  await collect(options, copy, outputs, options.images, (values) => {
    for (const [i, range] of ranges.entries()) {
      const count = range.min.length;
      const [negated, highest] = [values[2 * i], values[2 * i + 1]];
      negated?.forEach((value, at) => {
        range.min[at % count] = Math.min(range.min[at % count]!, -value); // rows of `count`
      });
      highest?.forEach((value, at) => {
        range.max[at % count] = Math.max(range.max[at % count]!, value);
      });
    }
  });
  return ranges;
}

/** Images a change is verified on: whole tensors are compared, so few must do. */
const VERIFIED_COUNT = 2;
const TOLERANCE = 1e-5;

/** Tensors of the pairs whose second layer gives something else than in the float model. */
async function failingPairs(
  options: EqualizeOptions,
  pairs: readonly EqualizationPair[],
  changes: readonly ChannelChange[],
): Promise<Set<string>> {
  const changed = new Map(changes.map((change) => [change.tensor, change]));
  const checked = pairs.filter(({ tensor }) => changed.has(tensor));
  const outputs = checked.map(({ second }) => second.output[0] ?? '');
  const equalized = cloneModel(options.model);
  applyEqualization(graphOf(equalized), changes);
  const images = {
    ...options.images,
    indices: options.images.indices.slice(0, VERIFIED_COUNT),
  };
  const failed = new Set<string>();
  const quiet = { ...options, onProgress: () => undefined };
  const run = async (model: OnnxModel): Promise<readonly Float32Array[]> => {
    const copy = cloneModel(model);
    setOutputs(copy, outputs);
    let results: readonly Float32Array[] = [];
    await collect(quiet, copy, outputs, images, (values) => {
      results = values; // the images are one chunk
    });
    return results;
  };
  const before = await run(options.model);
  const after = await run(equalized);
  for (const [i, pair] of checked.entries()) {
    const reference = before[i] ?? new Float32Array();
    const actual = after[i] ?? new Float32Array();
    // The second layer's own output may be the first of another pair.
    const change = changed.get(outputs[i] ?? '');
    if (!agrees(reference, actual, change, images.indices.length)) failed.add(pair.tensor);
  }
  return failed;
}

function agrees(
  reference: Float32Array,
  actual: Float32Array,
  change: ChannelChange | undefined,
  imageCount: number,
): boolean {
  const channelCount = change?.scales.length ?? 1;
  const area = reference.length / imageCount / channelCount; // [N, C, area]
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < reference.length; i += 1) {
    const channel = Math.floor(i / area) % channelCount;
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
  options: EqualizeOptions,
  model: OnnxModel,
  outputs: readonly string[],
  images: ImageSelection,
  onChunk: (values: readonly Float32Array[]) => void,
): Promise<void> {
  const modelPath = join(options.scratchPath, 'equalized.onnx');
  try {
    await writeOnnx(modelPath, model);
    await runOverImages<CollectRequest, readonly Float32Array[]>({
      ...options,
      task: 'collect-outputs',
      run: { modelPath, images, batchSize: options.batchSize, graphOptimization: 'disabled' },
      request: (run) => ({ run, outputs }),
      onChunk,
    });
  } finally {
    await rm(modelPath, { force: true });
  }
}
