import { sqnrDbOf, type NoiseSums } from '../metrics/sqnr.ts';
import { evenlySpaced } from '../numeric/evenly-spaced.ts';
import { finiteOrNull } from '../numeric/finite-or-null.ts';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeValueInfo } from '../onnx/build.ts';
import { indexGraph } from '../onnx/graph-edit.ts';
import { classifierSignature } from '../onnx/model-signature.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { LayerEffectSums, SwitchLayersRequest } from '../workers/tasks/switch-layers.ts';
import type { TensorNoiseRequest } from '../workers/tasks/tensor-noise.ts';
import { leftInput, type LeftInput } from './left-input.ts';
import { prepareCalibrated } from './prepare-calibrated.ts';
import type { QuantizedModel } from './quantize-model.ts';
import { runOverImages } from './run-over-images.ts';
import { switchedModel } from './switched-model.ts';

/** What quantizing one layer (its weights, its input, its corrected bias) does; dB null: nothing. */
export interface LayerSensitivity {
  readonly layer: string;
  readonly operator: string;
  /** Of the weights alone. */
  readonly weightSqnrDb: number | null;
  /** Of the layer's input alone. */
  readonly inputSqnrDb: number | null;
  /** Of the network's first output, this layer alone being quantized; pooled over the images. */
  readonly outputSqnrDb: number | null;
  /** Only where `outputSqnrDb` is null for scores that are not finite, not for want of noise. */
  readonly isFinite?: false;
  /** Mean KL(float ‖ this layer quantized) of the network's softmax, in nats; null: not finite. */
  readonly klDivergence: number | null;
  /** Share of images whose first class stays. */
  readonly agreementFraction: number;
  /**
   * Share of the output's noise that would be left with this layer in float (and what only feeds it), for
   * what is still rounded of its input; 1 where that is as bad. Only where it was asked for.
   */
  readonly leftFraction?: number;
}

/** How much each layer harms the output, measured one at a time. */
export interface Sensitivity {
  readonly imageCount: number;
  /** The most harmful first: scores that are not finite, then the lowest `outputSqnrDb`. */
  readonly layers: readonly LayerSensitivity[];
  /** Every quantized activation in graph order. */
  readonly tensors: readonly { readonly tensor: string; readonly sqnrDb: number | null }[];
}

export interface SensitivityOptions {
  readonly quantized: QuantizedModel;
  readonly images: ImageSelection;
  /** Whether the `leftFraction` of layers is measured, too, at one run more a layer and image. */
  readonly left?: 'measure' | 'none';
  readonly workerCount: number;
  /** A folder for models with extra outputs and inputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** More images change the order of the layers little, and each takes a run a layer. */
const MAX_IMAGE_COUNT = 32;

/**
 * Each layer alone: the float network with that one layer quantized. The other way, the quantized
 * network with one layer in float, would subtract two large noises to find a small one. Noises of
 * single layers add up nearly independently, so this order is also the one in which returning
 * layers to float helps. Images are streamed; a run a layer and image, all in one session a worker.
 */
export async function measureSensitivity(options: SensitivityOptions): Promise<Sensitivity> {
  const { quantized, onProgress } = options;
  const images = {
    ...options.images,
    indices: evenlySpaced(options.images.indices, MAX_IMAGE_COUNT),
  };
  const imageCount = images.indices.length;
  const prepared = prepareCalibrated(await quantized.source.readModel(), quantized.source.table);
  const total = 2 * imageCount;
  const noises = await measureNoise({
    ...options,
    images,
    prepared,
    onProgress: (done) => onProgress?.(done, total),
  });
  const effects = await measureEffects({
    ...options,
    images,
    prepared,
    onProgress: (done) => onProgress?.(imageCount + done, total),
  });
  const layers = quantized.plan.layers.map((layer, i): LayerSensitivity => {
    const effect = effects[i]!; // one a layer
    const left = effects[quantized.plan.layers.length + i]; // behind them, where asked for
    const outputSqnrDb = sqnrDbOf(effect);
    return {
      layer: layer.name,
      operator: layer.node.opType,
      weightSqnrDb: Number.isFinite(layer.weight.sqnrDb) ? layer.weight.sqnrDb : null,
      inputSqnrDb: decibels(noises.get(layer.inputTensor)),
      outputSqnrDb: finiteOrNull(outputSqnrDb),
      ...(outputSqnrDb === -Infinity || effect.measuredCount === 0
        ? { isFinite: false as const }
        : {}),
      klDivergence: finiteOrNull(effect.klDivergence / effect.measuredCount),
      agreementFraction: effect.agreementCount / imageCount,
      ...(left === undefined ? {} : { leftFraction: leftFractionOf(effect, left) }),
    };
  });
  const harmOf = ({ outputSqnrDb, isFinite }: LayerSensitivity): number =>
    isFinite === false ? -Infinity : (outputSqnrDb ?? Infinity);
  return {
    imageCount,
    layers: layers.sort((a, b) => (harmOf(a) === harmOf(b) ? 0 : harmOf(a) - harmOf(b))),
    tensors: [...noises].map(([tensor, sums]) => ({ tensor, sqnrDb: decibels(sums) })),
  };
}

type PassOptions = SensitivityOptions & { readonly prepared: OnnxModel };

async function measureNoise(options: PassOptions): Promise<Map<string, NoiseSums>> {
  const { prepared, quantized, images } = options;
  const tensors = [...quantized.plan.activations].map(([name, parameters]) => ({
    name,
    parameters,
  }));
  const modelPath = join(options.scratchPath, 'tensors.onnx');
  const sums = tensors.map(() => ({ signal: 0, noise: 0 }));
  try {
    const copy = cloneModel(prepared);
    graphOf(copy).output = tensors.map(({ name }) => makeValueInfo(name, 'any'));
    await writeOnnx(modelPath, copy);
    await runOverImages<TensorNoiseRequest, readonly NoiseSums[]>({
      ...options,
      task: 'tensor-noise',
      run: { modelPath, images, batchSize: 1, graphOptimization: 'disabled' },
      request: (run) => ({ run, tensors }),
      onChunk: (chunk) => {
        for (const [i, { signal, noise }] of chunk.entries()) {
          sums[i]!.signal += signal; // both lists follow `tensors`
          sums[i]!.noise += noise;
        }
      },
    });
  } finally {
    await rm(modelPath, { force: true });
  }
  return new Map(tensors.map(({ name }, i) => [name, sums[i]!])); // one a tensor
}

async function measureEffects(options: PassOptions): Promise<LayerEffectSums[]> {
  const { prepared, quantized, images } = options;
  const { outputName, scores } = classifierSignature(prepared, 'the model');
  const left =
    options.left === 'measure' ? leftInputs(prepared, quantized) : new Map<string, LeftInput>();
  const { model, switchName } = switchedModel(
    prepared,
    quantized.plan,
    quantized.source.options.corrections,
    left,
  );
  const switchCount = quantized.plan.layers.length + left.size;
  const modelPath = join(options.scratchPath, 'switched.onnx');
  let sums = Array.from({ length: switchCount }, (): LayerEffectSums => ({
    signal: 0,
    noise: 0,
    klDivergence: 0,
    agreementCount: 0,
    measuredCount: 0,
  }));
  try {
    await writeOnnx(modelPath, model);
    await runOverImages<SwitchLayersRequest, readonly LayerEffectSums[]>({
      ...options,
      task: 'switch-layers',
      run: { modelPath, images, batchSize: 1, graphOptimization: 'all' },
      chunkSize: 1,
      request: (run) => ({ run, switchName, outputName, switchCount, scores }),
      onChunk: (chunk) => {
        sums = sums.map((sum, i) => added(sum, chunk[i]!)); // one a number
      },
    });
  } finally {
    await rm(modelPath, { force: true });
  }
  return sums;
}

/** By the output tensor of the layer, for all of the plan. */
function leftInputs(prepared: OnnxModel, { plan, source }: QuantizedModel): Map<string, LeftInput> {
  const graph = graphOf(prepared);
  const { producers } = indexGraph(graph);
  const { excluded } = source.options;
  return new Map(
    plan.layers.map(({ outputTensor }) => {
      const node = producers.get(outputTensor)!; // the plan is of this graph
      return [outputTensor, leftInput(graph, node, excluded)];
    }),
  );
}

/** More than all can be left: an input's noise may have cancelled that of weights and bias. */
export function leftFractionOf(all: NoiseSums, left: NoiseSums): number {
  if (left.noise === 0) return 0;
  return Number.isFinite(left.noise) ? Math.min(left.noise / all.noise, 1) : 1;
}

function added(a: LayerEffectSums, b: LayerEffectSums): LayerEffectSums {
  return {
    signal: a.signal + b.signal,
    noise: a.noise + b.noise,
    klDivergence: a.klDivergence + b.klDivergence,
    agreementCount: a.agreementCount + b.agreementCount,
    measuredCount: a.measuredCount + b.measuredCount,
  };
}

function decibels(sums: NoiseSums | undefined): number | null {
  return sums === undefined ? null : finiteOrNull(sqnrDbOf(sums));
}
