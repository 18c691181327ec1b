import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeNode, makeTensor, makeValueInfo } from '../../onnx/build.ts';
import { nameMaker, sortNodes } from '../../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../../onnx/model.ts';
import { writeOnnx } from '../../onnx/writer.ts';
import type { CollectRequest } from '../../workers/tasks/collect-outputs.ts';
import type { ImageSelection } from '../../workers/run-image-batches.ts';
import type { BiasCorrections } from '../insert-qdq.ts';
import type { PlannedLayer, QuantizationPlan } from '../quantization-plan.ts';
import { runOverImages } from '../run-over-images.ts';
import { dequantizeWeight } from '../weights.ts';
import { createRobustMean } from './robust-mean.ts';

export interface BiasCorrectionOptions {
  /** Prepared by `prepareModel`; the plan was made for it. */
  readonly model: OnnxModel;
  readonly plan: QuantizationPlan;
  readonly images: ImageSelection;
  readonly batchSize: number;
  readonly workerCount: number;
  /** A folder for the model with its extra outputs; left as it was. */
  readonly scratchPath: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Local bias correction: for each layer and output channel, the float output less the output with
 * quantized weights and quantized input, the input being the float network's own, averaged over the
 * image and, robustly (see `createRobustMean`), over the images. Each layer corrects its own error only, so nothing is counted twice and one pass over the
 * images serves all layers (a local form of Nagel et al. 2019, section 4.2).
 */
export async function correctBiases(options: BiasCorrectionOptions): Promise<BiasCorrections> {
  const { layers } = options.plan;
  if (layers.length === 0) return new Map();
  const modelPath = join(options.scratchPath, 'paired.onnx');
  try {
    const { model, outputs } = pairedModel(options);
    await writeOnnx(modelPath, model);
    const means = layers.map((layer) => createRobustMean(layer.channelCount));
    await runOverImages<CollectRequest, readonly Float32Array[]>({
      ...options,
      task: 'collect-outputs',
      run: {
        modelPath,
        images: options.images,
        batchSize: options.batchSize,
        graphOptimization: 'disabled',
      },
      request: (run) => ({ run, outputs }),
      onChunk: (values) => {
        for (const [i, mean] of means.entries()) mean.add(values[i] ?? new Float32Array());
      },
    });
    return new Map(
      layers.map((layer, i) => [layer.outputTensor, means[i]!.finish()]), // both follow `layers`
    );
  } finally {
    await rm(modelPath, { force: true });
  }
}

/**
 * The float model with a fake-quantized copy beside each layer; its outputs are the mean difference
 * of the two per image and channel.
 */
function pairedModel({ model, plan }: Pick<BiasCorrectionOptions, 'model' | 'plan'>): {
  model: OnnxModel;
  outputs: string[];
} {
  const paired = cloneModel(model);
  const graph = graphOf(paired);
  const newName = nameMaker(graph);
  const fakeQuantized = new Map<string, string>();
  const outputs: string[] = [];

  const fakeQuantize = (tensor: string): string => {
    const known = fakeQuantized.get(tensor);
    if (known !== undefined) return known;
    const parameters = plan.activations.get(tensor) ?? { scale: 1, zeroPoint: 0 }; // every layer's input is planned
    const scale = newName(`${tensor}_scale`);
    const zeroPoint = newName(`${tensor}_zero_point`);
    const codes = newName(`${tensor}_quantized`);
    const result = newName(`${tensor}_dequantized`);
    graph.initializer.push(makeTensor(scale, [], Float32Array.of(parameters.scale)));
    graph.initializer.push(makeTensor(zeroPoint, [], Uint8Array.of(parameters.zeroPoint)));
    const add = (opType: string, input: string, output: string): void => {
      const inputs = [input, scale, zeroPoint];
      graph.node.push(makeNode({ opType, name: newName(output), inputs, outputs: [output] }));
    };
    add('QuantizeLinear', tensor, codes);
    add('DequantizeLinear', codes, result);
    fakeQuantized.set(tensor, result);
    return result;
  };

  for (const layer of plan.layers) {
    const weight = newName(`${layer.outputTensor}_copy_weight`);
    const bias = newName(`${layer.outputTensor}_copy_bias`);
    const copy = newName(`${layer.outputTensor}_copy`);
    const difference = newName(`${layer.outputTensor}_difference`);
    const values = dequantizeWeight(layer.weight, layer.channelCount, layer.axis);
    graph.initializer.push(makeTensor(weight, layer.weightDims, values));
    graph.initializer.push(makeTensor(bias, [layer.bias.length], layer.bias));
    const copyNode = cloneNode(layer, [fakeQuantize(layer.inputTensor), weight, bias], copy);
    copyNode.name = newName(copy);
    graph.node.push(
      copyNode,
      makeNode({
        opType: 'Sub',
        name: newName(difference),
        inputs: [layer.outputTensor, copy],
        outputs: [difference],
      }),
    );
    outputs.push(layer.node.opType === 'Conv' ? pooled(difference) : difference);
  }
  // [N, C, H, W] → [N, C, 1, 1]
  function pooled(tensor: string): string {
    const mean = newName(`${tensor}_mean`);
    graph.node.push(
      makeNode({
        opType: 'GlobalAveragePool',
        name: newName(mean),
        inputs: [tensor],
        outputs: [mean],
      }),
    );
    return mean;
  }
  graph.output = outputs.map((name) => {
    const output = makeValueInfo(name, []);
    if (output.type?.value.case === 'tensorType') delete output.type.value.value.shape;
    return output;
  });
  sortNodes(graph);
  return { model: paired, outputs };
}

function cloneNode(
  { node }: PlannedLayer,
  inputs: readonly string[],
  output: string,
): ReturnType<typeof makeNode> {
  const copy = makeNode({ opType: node.opType, name: output, inputs, outputs: [output] });
  copy.attribute = node.attribute;
  return copy;
}
