import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeNode, makeValueInfo } from '../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { nameMaker, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { writeOnnx } from '../onnx/writer.ts';
import type { OnnxTensor } from '../runtime/onnx-session.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { TryRangesRequest } from '../workers/tasks/try-ranges.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { markGraph } from './mark-graph.ts';
import type { ObserveOptions } from './observe-activations.ts';
import { planActivations } from './quantization-plan.ts';
import { runOverImages } from './run-over-images.ts';

/** Runs the network with its activations rounded as a table says and its weights in float. */
export interface RangeTrials {
  /** For each table the first output, a row an image. */
  run(
    tables: readonly CalibrationTable['tensors'][],
    images: ImageSelection,
    onProgress?: (done: number, total: number) => void,
  ): Promise<readonly (readonly Float32Array[])[]>;
  close(): Promise<void>;
}

type TrialOptions = Pick<ObserveOptions, 'model' | 'workerCount' | 'scratchPath' | 'signal'>;

/**
 * Without it onnxruntime's optimizers take pairs with scales that are inputs for equal ones: the
 * logits are wrong from `basic` on.
 */
const KEEP_PAIRS = { disable_quant_qdq: '1' };

/**
 * Writes one model whose scales and zero points are inputs, so that a trial costs a run and no
 * session.
 */
export async function openRangeTrials(options: TrialOptions): Promise<RangeTrials> {
  const { tensors } = markGraph(graphOf(options.model));
  const modelPath = join(options.scratchPath, 'trial.onnx');
  const { model, inputsOf } = trialModel(options.model, [...tensors.keys()]);
  await writeOnnx(modelPath, model);
  return {
    async run(tables, images, onProgress) {
      const trials = tables.map((table) => inputsOf(planActivations(tensors, { tensors: table })));
      const rows = tables.map((): Float32Array[] => []);
      await runOverImages<TryRangesRequest, readonly (readonly Float32Array[])[]>({
        ...options,
        ...(onProgress === undefined ? {} : { onProgress }),
        task: 'try-ranges',
        run: {
          modelPath,
          images,
          batchSize: 1,
          graphOptimization: 'all',
          configuration: KEEP_PAIRS,
        },
        request: (run) => ({ run, trials }),
        onChunk: (chunk) => {
          for (const [i, more] of chunk.entries()) rows[i]?.push(...more);
        },
      });
      return rows;
    },
    close: () => rm(modelPath, { force: true }),
  };
}

interface TrialModel {
  readonly model: OnnxModel;
  readonly inputsOf: (
    activations: ReturnType<typeof planActivations>,
  ) => Readonly<Record<string, OnnxTensor>>;
}

/** The float model with QuantizeLinear and DequantizeLinear after each of `tensors`. */
function trialModel(source: OnnxModel, tensors: readonly string[]): TrialModel {
  const shared = graphOf(source);
  // Weights are shared with the source: only nodes are changed, and only copies of them.
  const model = cloneModel({ ...source, graph: { ...shared, initializer: [] } });
  const graph = graphOf(model);
  graph.initializer = shared.initializer;
  const newName = nameMaker(graph);
  const names = new Map<string, { scale: string; zeroPoint: string }>();
  for (const tensor of tensors) {
    const scale = newName(`${tensor}_scale`);
    const zeroPoint = newName(`${tensor}_zero_point`);
    const codes = newName(`${tensor}_quantized`);
    const rounded = newName(`${tensor}_dequantized`);
    names.set(tensor, { scale, zeroPoint });
    for (const node of graph.node)
      node.input = node.input.map((name) => (name === tensor ? rounded : name));
    for (const output of graph.output) if (output.name === tensor) output.name = rounded;
    graph.input.push(makeValueInfo(scale, []), makeValueInfo(zeroPoint, [], DataType.UINT8));
    const add = (opType: string, input: string, output: string): void => {
      const inputs = [input, scale, zeroPoint];
      graph.node.push(makeNode({ opType, name: newName(output), inputs, outputs: [output] }));
    };
    add('QuantizeLinear', tensor, codes);
    add('DequantizeLinear', codes, rounded);
  }
  sortNodes(graph);
  return {
    model,
    inputsOf: (activations) => {
      const inputs: Record<string, OnnxTensor> = {};
      for (const [tensor, { scale, zeroPoint }] of names) {
        const parameters = activations.get(tensor) ?? { scale: 1, zeroPoint: 0 }; // every marked tensor is planned
        inputs[scale] = { data: Float32Array.of(parameters.scale), dims: [] };
        inputs[zeroPoint] = { data: Uint8Array.of(parameters.zeroPoint), dims: [] };
      }
      return inputs;
    },
  };
}
