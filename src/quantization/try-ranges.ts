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

type TrialOptions = Omit<ObserveOptions, 'batchSize' | 'images' | 'onProgress'>;

/** The model's first output for each table, a row an image. */
type TryTables = (
  tables: readonly CalibrationTable['tensors'][],
  images: ImageSelection,
  onProgress?: (done: number) => void,
) => Promise<readonly (readonly Float32Array[])[]>;

/**
 * Without it onnxruntime's optimizers take pairs with scales that are inputs for equal ones: the
 * logits are wrong from `basic` on.
 */
const KEEP_PAIRS = { disable_quant_qdq: '1' };

/**
 * Calls `use` with a way to run the network with its activations rounded as tables say and its weights
 * in float. Scales and zero points are inputs of one model, so that a table costs a run and no session.
 */
export async function withRangeTrials<T>(
  options: TrialOptions,
  use: (tryTables: TryTables) => Promise<T>,
): Promise<T> {
  const marks = markGraph(graphOf(options.model));
  const { model, inputsOf } = trialModel(options.model, [...marks.tensors.keys()]);
  const scratch = {
    ...options,
    model,
    source: options.model,
    name: 'trial',
    graphOptimization: 'all' as const,
  };
  return withScratchModel({ ...scratch, configuration: KEEP_PAIRS }, (file, threads) =>
    use(async (tables, images, onProgress) => {
      const trials = tables.map((table) => inputsOf(planActivations(marks, { tensors: table })));
      const rows = tables.map((): Float32Array[] => []);
      await runOverImages<TryRangesRequest, readonly (readonly Float32Array[])[]>({
        ...options,
        threads,
        task: 'try-ranges',
        run: { ...file, images, batchSize: 1 },
        request: (run) => ({ run, trials }),
        chunkSize: 2, // a run a table, so that the last chunk keeps no worker waiting for long
        onChunk: (chunk) => {
          for (const [i, more] of chunk.entries()) rows[i]?.push(...more);
        },
        ...(onProgress === undefined ? {} : { onProgress }),
      });
      return rows;
    }),
  );
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
