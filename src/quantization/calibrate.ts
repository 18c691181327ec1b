import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeValueInfo } from '../onnx/build.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { ObserveRequest } from '../workers/tasks/observe-tensors.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { CalibrationMethod, CalibrationTable } from './calibration-table.ts';
import { markGraph } from './mark-graph.ts';
import { mergeHistograms } from './observers/histogram.ts';
import { mergeMinMax } from './observers/min-max.ts';
import { mseRange } from './observers/mse.ts';
import type { ObserverState } from './observers/observer.ts';
import { percentileRange } from './observers/percentile.ts';
import type { TensorRange } from './parameters.ts';
import { runOverImages } from './run-over-images.ts';

export interface CalibrateOptions {
  /** Prepared by `prepareModel`. */
  readonly model: OnnxModel;
  readonly images: ImageSelection;
  readonly method: CalibrationMethod;
  /** Share of values that a range keeps, in percent; for the method of that name. */
  readonly percentile: number;
  readonly batchSize: number;
  readonly workerCount: number;
  /** A folder for the model with its extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * The range of every tensor that quantization needs, from one pass over the images. Values are
 * observed and dropped; the result does not depend on the number of workers.
 */
export async function calibrate(options: CalibrateOptions): Promise<CalibrationTable['tensors']> {
  const { model, method } = options;
  const tensors = observedTensors(model);
  const observer = method === 'min-max' ? 'min-max' : 'histogram';
  const merge = method === 'min-max' ? mergeMinMax : mergeHistograms;
  const modelPath = join(options.scratchPath, 'observed.onnx');
  try {
    await writeOnnx(modelPath, withOutputs(model, tensors));
    let states: readonly ObserverState[] = [];
    await runOverImages<ObserveRequest, readonly ObserverState[]>({
      ...options,
      task: 'observe-tensors',
      run: {
        modelPath,
        images: options.images,
        batchSize: options.batchSize,
        graphOptimization: 'disabled',
      },
      request: (run) => ({ run, tensors, observer }),
      onChunk: (chunk) => {
        // Both lists follow `tensors`.
        states = states.length === 0 ? chunk : states.map((state, i) => merge(state, chunk[i]!));
      },
    });
    return Object.fromEntries(
      tensors.map((tensor, i) => [tensor, chooseRange(states[i]!, options)]), // one state a tensor
    );
  } finally {
    await rm(modelPath, { force: true });
  }
}

/**
 * Every tensor that may be quantized, in graph order; also those that share another's parameters,
 * because they need their own once a node before them is excluded.
 */
function observedTensors(model: OnnxModel): string[] {
  return [...markGraph(graphOf(model)).tensors.keys()];
}

/** The same model with `tensors` as its outputs; a graph input is passed on through an Identity. */
function withOutputs(model: OnnxModel, tensors: readonly string[]): OnnxModel {
  const copy = cloneModel(model);
  const graph = graphOf(copy);
  graph.output = tensors.map((tensor) => makeValueInfo(tensor, []));
  for (const output of graph.output) {
    // Rank and size are left to onnxruntime: an absent shape means "any".
    if (output.type?.value.case === 'tensorType') delete output.type.value.value.shape;
  }
  return copy;
}

function chooseRange(
  state: ObserverState,
  { method, percentile }: Pick<CalibrateOptions, 'method' | 'percentile'>,
): TensorRange {
  switch (method) {
    case 'min-max':
      return { min: state.min, max: state.max };
    case 'percentile':
      return percentileRange(state, percentile);
    case 'mse':
      return mseRange(state);
  }
}
