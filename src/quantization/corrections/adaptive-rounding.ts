import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeValueInfo } from '../../onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../onnx/model.ts';
import { readFloats } from '../../onnx/tensor-data.ts';
import { writeOnnx } from '../../onnx/writer.ts';
import { createWorkerPool } from '../../workers/pool.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import { unwrapTask, type TaskResult } from '../../workers/task-result.ts';
import type { SampledLayer, SampleRequest } from '../../workers/tasks/sample-patches.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { runOverImages } from '../run-over-images.ts';
import { weightSqnrDb, type QuantizedWeight } from '../weights.ts';
import { MAX_SAMPLE_COUNT } from './covariance.ts';
import { groupCountOf, patchGeometry } from './patch-sampler.ts';
import type { RoundLayer } from './round-layer.ts';

export interface AdaptiveRoundingOptions {
  /** Prepared by `prepareModel`; the plan was made for it. */
  readonly model: OnnxModel;
  readonly plan: QuantizationPlan;
  /** Largest magnitude of a code. */
  readonly limit: number;
  /** Whether biases are corrected afterwards: then a shift of a channel's mean costs nothing. */
  readonly meanError: 'corrected' | 'kept';
  readonly images: ImageSelection;
  readonly batchSize: number;
  readonly workerCount: number;
  /** A folder for the model with its extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** By the layer's output tensor. */
export type RoundedWeights = ReadonlyMap<string, QuantizedWeight>;

/**
 * Weights with the scales of the plan, each rounded up or down such that the layer's output on its
 * own float input, sampled from the images, changes least (the objective of AdaRound, Nagel et al.
 * 2020, section 3; solved in closed form, see `roundToNearestPlane`). Depends on the images and
 * their order only, not on the number of workers.
 */
export async function roundAdaptively(options: AdaptiveRoundingOptions): Promise<RoundedWeights> {
  const { layers } = options.plan;
  const initializers = new Map(graphOf(options.model).initializer.map((t) => [t.name, t]));
  const samples = await sampleInputs(options);
  const { workerCount, signal } = options;
  const pool = createWorkerPool<RoundLayer, TaskResult<Int8Array>>(
    'round-layer',
    Math.max(1, Math.min(workerCount, layers.length)),
  );
  try {
    const rounded = await Promise.all(
      layers.map(async (layer, i): Promise<[string, QuantizedWeight]> => {
        const values = readFloats(initializers.get(layer.node.input[1] ?? '')!); // planned from it
        const request = roundRequest(layer, values, samples[i]!, options); // samples follow `layers`
        const codes = await pool.run(request, signal === undefined ? {} : { signal });
        return [layer.outputTensor, withCodes(layer, values, unwrapTask(codes))];
      }),
    );
    return new Map(rounded);
  } finally {
    await pool.close();
  }
}

interface LayerSamples {
  /** [count, K], in shared memory, so that a worker reads it where it is. */
  readonly codes: Uint8Array;
  readonly count: number;
}

/**
 * Patches a layer, spread over all images. Fewer tell too little about pairs of inputs, more cost
 * memory: a byte for each input of each layer.
 */
const PATCH_COUNT = 2048;

async function sampleInputs(options: AdaptiveRoundingOptions): Promise<LayerSamples[]> {
  const { model, plan, images } = options;
  const imageCount = Math.min(images.indices.length, MAX_SAMPLE_COUNT);
  const layers = plan.layers.map((layer): SampledLayer => ({
    tensor: layer.inputTensor,
    geometry: patchGeometry(layer.node, layer.weightDims),
    parameters: plan.activations.get(layer.inputTensor)!, // planned for every layer
  }));
  const modelPath = join(options.scratchPath, 'sampled.onnx');
  const parts = layers.map((): Uint8Array[] => []);
  try {
    await writeOnnx(modelPath, withLayerInputs(model, layers));
    await runOverImages<SampleRequest, readonly Uint8Array[]>({
      ...options,
      task: 'sample-patches',
      run: {
        modelPath,
        images: { ...images, indices: images.indices.slice(0, imageCount) },
        batchSize: options.batchSize,
        graphOptimization: 'disabled',
      },
      request: (run) => ({ run, layers, count: Math.ceil(PATCH_COUNT / imageCount) }),
      onChunk: (chunk) => {
        for (const [i, part] of parts.entries()) part.push(chunk[i] ?? new Uint8Array());
      },
    });
  } finally {
    await rm(modelPath, { force: true });
  }
  return parts.map((part, i) => {
    const length = part.reduce((sum, { length }) => sum + length, 0);
    const codes = new Uint8Array(new SharedArrayBuffer(length));
    let at = 0;
    for (const piece of part.splice(0)) {
      codes.set(piece, at);
      at += piece.length;
    }
    return { codes, count: length / inputWidth(plan.layers[i]!) }; // parts follow the layers
  });
}

/** Inputs of all groups of a layer at one position. */
function inputWidth(layer: PlannedLayer): number {
  return rowSize(layer) * groupCountOf(layer.node);
}

function rowSize({ weight, channelCount }: PlannedLayer): number {
  return weight.codes.length / channelCount;
}

function withLayerInputs(model: OnnxModel, layers: readonly SampledLayer[]): OnnxModel {
  const copy = cloneModel(model);
  graphOf(copy).output = [...new Set(layers.map(({ tensor }) => tensor))].map((tensor) => {
    const output = makeValueInfo(tensor, []);
    // Rank and size are left to onnxruntime: an absent shape means "any".
    if (output.type?.value.case === 'tensorType') delete output.type.value.value.shape;
    return output;
  });
  return copy;
}

function roundRequest(
  layer: PlannedLayer,
  values: Float32Array,
  samples: LayerSamples,
  { plan, limit, meanError }: AdaptiveRoundingOptions,
): RoundLayer {
  const { weight, channelCount, inputTensor } = layer;
  const [single = 1] = weight.scales;
  return {
    rows: asRows(values, layer),
    scales:
      weight.scales.length === channelCount
        ? weight.scales
        : new Float32Array(channelCount).fill(single),
    limit,
    groupCount: groupCountOf(layer.node),
    samples: samples.codes,
    sampleCount: samples.count,
    ...(meanError === 'corrected'
      ? {}
      : { zeroPoint: plan.activations.get(inputTensor)!.zeroPoint }), // planned for every layer
  };
}

/** [M, K], also from weights [K, M] (axis 1). */
function asRows(values: Float32Array, layer: PlannedLayer): Float32Array {
  return layer.axis === 0
    ? values
    : transposed(values, layer.channelCount, new Float32Array(values.length));
}

function withCodes(layer: PlannedLayer, values: Float32Array, rows: Int8Array): QuantizedWeight {
  const codes =
    layer.axis === 0 ? rows : transposed(rows, rowSize(layer), new Int8Array(rows.length));
  const { scales } = layer.weight;
  return { codes, scales, sqnrDb: weightSqnrDb(values, { codes, scales }, layer) };
}

/** [R, C] → [C, R] */
function transposed<T extends Float32Array | Int8Array>(
  source: T,
  columnCount: number,
  target: T,
): T {
  const rowCount = source.length / columnCount;
  for (let row = 0; row < rowCount; row += 1) {
    for (let column = 0; column < columnCount; column += 1) {
      target[column * rowCount + row] = source[row * columnCount + column]!; // inside [R, C]
    }
  }
  return target;
}
