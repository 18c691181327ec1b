import { inputFormOf } from '../../data/network-input.ts';
import { evenlySpaced } from '../../numeric/evenly-spaced.ts';
import { graphOf, type OnnxModel } from '../../onnx/model.ts';
import { readFloats } from '../../onnx/tensor-data.ts';
import { collectGarbage } from '../../runtime/collect-garbage.ts';
import type { WorkerThreads } from '../../workers/pool.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import { unwrapTask, type TaskResult } from '../../workers/task-result.ts';
import type { SampledLayer, StatisticsRequest } from '../../workers/tasks/layer-statistics.ts';
import { asRows } from '../channel-rows.ts';
import type { BiasCorrections } from '../insert-qdq.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { readFirstImage } from '../first-image.ts';
import { runOverImages } from '../run-over-images.ts';
import { withScratchModel } from '../scratch-model.ts';
import { nearestWeight, weightOfRows, type QuantizedWeight } from '../weights.ts';
import type { CorrectedLayer, LayerToCorrect } from './correct-layer.ts';
import { groupCountOf } from './patch-sampler.ts';
import type { RoundedLayer } from './round-layer.ts';
import { statisticsModel } from './statistics-model.ts';
import { withThreadsOf, type ImagePass } from '../image-pass.ts';

export interface CorrectLayersOptions extends ImagePass {
  /** Prepared by `prepareModel`; the plan was made for it. */
  readonly model: OnnxModel;
  readonly plan: QuantizationPlan;
  readonly rounding: 'adaptive' | 'nearest';
  readonly biasCorrection: 'local' | 'none';
}

export interface LayerCorrections {
  /** By the layer's output tensor; likewise the next. */
  readonly weights: ReadonlyMap<string, QuantizedWeight>;
  readonly corrections: BiasCorrections;
}

/**
 * Weights with the scales of the plan (in short rows, slightly larger ones where that serves, see
 * `roundWithFreeScales`), each rounded up or down such that the layer's output on its
 * own float input, sampled from the images, changes least (the objective of AdaRound, Nagel et al.
 * 2020, section 3; solved in closed form, see `roundToNearestPlane`), and what the bias of each layer
 * is then corrected by (see `correctLayer`). One pass over the images serves both. Depends on the
 * images and their order only, not on the number of workers.
 */
export async function correctLayers(options: CorrectLayersOptions): Promise<LayerCorrections> {
  return withThreadsOf(options, (threads) => correctOnThreads({ ...options, threads }, threads));
}

async function correctOnThreads(
  options: CorrectLayersOptions,
  threads: WorkerThreads,
): Promise<LayerCorrections> {
  const { signal, rounding } = options;
  const initializers = new Map(graphOf(options.model).initializer.map((t) => [t.name, t]));
  const statistics = await collectStatistics(options);
  const corrected = statistics.map((): LayerCorrection | null => null);
  const correct = async (known: CollectedLayer): Promise<LayerCorrection> => {
    const { layer } = known;
    // A copy of its own, since a message takes all of the buffer that a view is of.
    const values = readFloats(initializers.get(layer.weightName)!); // planned from it
    const nearest =
      rounding === 'nearest'
        ? nearestWeight({ ...layer, values }, layer.scales, layer.bounds)
        : null;
    const request = correctionRequest(known, values, nearest, options);
    const settings = signal === undefined ? {} : { signal };
    const response = await threads.run('correct-layer', request, settings);
    const found = unwrapTask(response as TaskResult<CorrectedLayer>);
    const weight = nearest ?? roundedWeight(layer, request.rows, found);
    return { name: layer.outputTensor, weight, correction: found.correction };
  };
  // A few at a time, not all at once: requests hold copies of weights.
  const waiting = [...statistics.entries()];
  const chain = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      corrected[next[0]] = await correct(next[1]);
    }
  };
  await Promise.all(Array.from({ length: threads.threadCount + 1 }, chain));
  const inOrder = corrected.filter((layer) => layer !== null);
  return {
    weights: new Map(inOrder.map(({ name, weight }) => [name, weight])),
    corrections: new Map(
      inOrder.flatMap(({ name, correction }) => (correction === null ? [] : [[name, correction]])),
    ),
  };
}

interface LayerCorrection {
  readonly name: string;
  readonly weight: QuantizedWeight;
  readonly correction: Float64Array | null;
}

interface CollectedLayer {
  readonly layer: PlannedLayer;
  /** Codes of the input, [C · kH · kW, patches], in shared memory: a worker reads them where they are. */
  readonly samples: Uint8Array;
  /** See `LayerToCorrect`; in shared memory too. */
  readonly means: Float32Array;
}

/**
 * Patches a layer, spread over all images; each costs a byte for each input of each layer. With half
 * of 2,048 the logits of a MobileNetV2 were at 29.4 instead of 29.2 dB and 95.7 instead of 95.1 % of the
 * answers agreed, those of a second one at 23.1 and 23.2 dB, 91.0 and 91.0 % (means of four draws, 388
 * other photographs, normalized as for ImageNet, which is not quite what these two were trained on).
 */
const PATCH_COUNT = 1024;
/** Enough for a 3x3 depthwise convolution, whose nine inputs have few relations to learn. */
const FEW_PATCHES = 512;
const SMALL_ROW = 32;
/**
 * More, evenly taken, cost a run of the network each and bring nothing. With 24 and 32 of 128 images the
 * logits of a MobileNetV2 were at 31.5 and 31.2 dB and 98.5 and 98.5 % of the answers agreed, those of a
 * second one at 22.5 and 22.4 dB, 93.0 and 93.8 %, of a ResNet-18 at 28.9 and 28.9 dB, 92.4 and 92.5 %
 * (means of three draws, 388 other photographs); a DenseNet-121 and an EfficientNet-B0 lost nothing
 * either, and 48 to 128 gave the same in earlier such runs. 16 cost the first and the last a point of
 * agreement.
 */
const MOST_IMAGES = 24;

async function collectStatistics(options: CorrectLayersOptions): Promise<CollectedLayer[]> {
  const { model, plan } = options;
  const images = { ...options.images, indices: evenlySpaced(options.images.indices, MOST_IMAGES) };
  const imageCount = images.indices.length;
  const dims = await inputDims(model, images);
  const { model: telling, layers } = statisticsModel(model, plan, dims);
  if (layers.length === 0) return []; // a model without outputs does not run
  const patchesOf = (layer: PlannedLayer): number =>
    Math.ceil((rowSize(layer) <= SMALL_ROW ? FEW_PATCHES : PATCH_COUNT) / imageCount);
  const collected = layers.map(({ layer }): CollectedLayer => {
    const width = rowSize(layer) * groupCountOf(layer.node);
    return {
      layer,
      samples: new Uint8Array(new SharedArrayBuffer(imageCount * patchesOf(layer) * width)),
      means: new Float32Array(new SharedArrayBuffer(4 * imageCount * 2 * width)),
    };
  });
  const sent = layers.map(({ layer, ...others }): SampledLayer => ({
    ...others,
    count: patchesOf(layer),
  }));
  const scratch = {
    ...options,
    model: telling,
    source: model,
    name: 'statistics',
    graphOptimization: 'all' as const,
  };
  collectGarbage(); // what planning left behind
  const targets = collected.map(({ samples, means }) => ({ codes: samples, means }));
  await withScratchModel(scratch, (file, threads) =>
    runOverImages<StatisticsRequest, null>({
      ...options,
      threads,
      task: 'layer-statistics',
      chunkSize: 4, // of few images, so that two or three workers have as many
      run: { ...file, images, batchSize: 1 },
      request: (run) => ({
        ...{ run, layers: sent, targets },
        first: images.indices.indexOf(run.images.indices[0]!), // chunks are not empty
      }),
      onChunk: () => undefined, // workers write to shared memory
    }),
  );
  return collected;
}

/** Of one image. */
async function inputDims(model: OnnxModel, images: ImageSelection): Promise<readonly number[]> {
  const type = graphOf(model).input[0]?.type?.value;
  const shape = type?.case === 'tensorType' ? (type.value.shape?.dim ?? []) : [];
  const sizes = shape.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : null));
  return (await readFirstImage(images, inputFormOf('float32', sizes))).dims;
}

function correctionRequest(
  { layer, samples, means }: CollectedLayer,
  values: Float32Array,
  nearest: QuantizedWeight | null,
  { plan, biasCorrection }: CorrectLayersOptions,
): LayerToCorrect {
  const { scales, channelCount, inputTensor, node, bounds } = layer;
  const [single = 1] = scales;
  const rows = asRows(values, layer);
  const groupCount = groupCountOf(node);
  const isCorrected = biasCorrection === 'local';
  return {
    rows,
    scales: scales.length === channelCount ? scales : new Float32Array(channelCount).fill(single),
    groupCount,
    codes:
      nearest === null
        ? {
            ...bounds,
            areScalesFree: scales.length === channelCount,
            samples,
            sampleCount: samples.length / (groupCount * rowSize(layer)),
            ...(isCorrected ? {} : { zeroPoint: plan.activations.get(inputTensor)!.zeroPoint }), // planned for every layer
          }
        : asRows(nearest.codes, layer),
    means: isCorrected ? means : null,
  };
}

function rowSize({ weightDims, channelCount }: PlannedLayer): number {
  return weightDims.reduce((product, size) => product * size, 1) / channelCount;
}

function roundedWeight(
  layer: PlannedLayer,
  rows: Float32Array,
  rounded: RoundedLayer,
): QuantizedWeight {
  // One scale for the tensor stays one.
  const scales = layer.scales.length === layer.channelCount ? rounded.scales : layer.scales;
  return weightOfRows({ codes: rounded.codes, scales }, rows, layer);
}
