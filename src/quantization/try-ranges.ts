import { makeNode, makeValueInfo } from '../onnx/build.ts';
import { TensorProto_DataType as DataType } from '../onnx/generated/onnx_pb.ts';
import { nameMaker, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import type { OnnxTensor } from '../runtime/onnx-session.ts';
import type { ImageSelection } from '../workers/run-image-batches.ts';
import type { TryRangesRequest } from '../workers/tasks/try-ranges.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { markGraph } from './mark-graph.ts';
import type { ObserveOptions } from './observe-activations.ts';
import { planActivations } from './quantization-plan.ts';
import { runOverImages } from './run-over-images.ts';
import { withScratchModel } from './scratch-model.ts';

type TrialOptions = Pick<ObserveOptions, 'model' | 'workerCount' | 'scratchPath' | 'signal'> & {
  readonly tables: readonly CalibrationTable['tensors'][];
  readonly images: ImageSelection;
  readonly onProgress?: (done: number, total: number) => void;
};

/**
 * Without it onnxruntime's optimizers take pairs with scales that are inputs for equal ones: the
 * logits are wrong from `basic` on.
 */
const KEEP_PAIRS = { disable_quant_qdq: '1' };

/**
 * Runs the network with its activations rounded as each table says and its weights in float; gives the
 * first output of each, a row an image. Scales and zero points are inputs of one model, so that a
 * table costs a run and no session.
 */
export async function tryRanges(
  options: TrialOptions,
): Promise<readonly (readonly Float32Array[])[]> {
  const { tables, images } = options;
  const { tensors } = markGraph(graphOf(options.model));
  const { model, inputsOf } = trialModel(options.model, [...tensors.keys()]);
  const trials = tables.map((table) => inputsOf(planActivations(tensors, { tensors: table })));
  const rows = tables.map((): Float32Array[] => []);
  const scratch = { ...options, model, name: 'trial', graphOptimization: 'all' as const };
  await withScratchModel({ ...scratch, configuration: KEEP_PAIRS }, (file) =>
    runOverImages<TryRangesRequest, readonly (readonly Float32Array[])[]>({
      ...options,
      task: 'try-ranges',
      run: { ...file, images, batchSize: 1 },
      request: (run) => ({ run, trials }),
      onChunk: (chunk) => {
        for (const [i, more] of chunk.entries()) rows[i]?.push(...more);
      },
    }),
  );
  return rows;
}

interface TrialModel {
  readonly model: OnnxModel;
  readonly inputsOf: (
    activations: ReturnType<typeof planActivations>,
  ) => Readonly<Record<string, OnnxTensor>>;
}

/** The float model with QuantizeLinear and DequantizeLinear after each of `tensors`. */
function trialModel(source: OnnxModel, tensors: readonly string[]): TrialModel {
  const model = cloneModel(source);
  const graph = graphOf(model);
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
