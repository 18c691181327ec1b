import { makeModel, makeNode, makeTensor, makeValueInfo } from '../onnx/build.ts';
import type { Initializer, OnnxModel, OnnxNode } from '../onnx/model.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import { convolutionToTorch } from './layouts.ts';
import {
  INPUT_NAME,
  parameterSpecs,
  type Activation,
  type ConvolutionLayer,
  type DenseLayer,
  type Layer,
  type Network,
  type Padding,
} from './network.ts';
import { convolutionSizes, denseLayout } from './torch-layout.ts';
import { weightOf, type WeightLookup } from './weights.ts';

export const ONNX_INPUT = 'input';
export const ONNX_OUTPUT = 'logits';
const OPSET = 17;

export interface ExportDetails {
  readonly classes: readonly string[];
  /** Of pixels scaled to [0, 1], RGB: the model takes (pixel / 255 - mean) / std. */
  readonly normalization: {
    readonly mean: readonly number[];
    readonly std: readonly number[];
  };
}

/**
 * The network's inference form as ONNX: `input` [N, 3, H, W] → `logits` [N, classes], batch norm folded
 * into the convolutions, in the forms that onnxruntime fuses to int8 once quantized: Reshape before
 * Gemm, GlobalAveragePool, Clip for ReLU6, explicit pads.
 */
export function exportOnnx(
  network: Network,
  weights: WeightLookup,
  details: ExportDetails,
): OnnxModel {
  const { imageSize, classCount, architecture } = network.options;
  const graph = createGraph();
  const head = network.layers.at(-1);
  for (const layer of network.layers) {
    exportLayer(graph, network, weights, layer, layer === head ? ONNX_OUTPUT : layer.name);
  }
  return makeModel({
    graphName: architecture,
    nodes: graph.nodes,
    initializers: graph.initializers,
    inputs: [makeValueInfo(ONNX_INPUT, ['N', 3, imageSize, imageSize])],
    outputs: [makeValueInfo(ONNX_OUTPUT, ['N', classCount])],
    opset: OPSET,
    metadata: {
      'drq.architecture': architecture,
      'drq.classes': JSON.stringify(details.classes),
      'drq.mean': JSON.stringify(details.normalization.mean),
      'drq.std': JSON.stringify(details.normalization.std),
    },
  });
}

interface GraphParts {
  readonly nodes: OnnxNode[];
  readonly initializers: Initializer[];
  /** Layer name → name of the ONNX value it gives; dropout gives its input's. */
  readonly values: Map<string, string>;
}

function createGraph(): GraphParts {
  return { nodes: [], initializers: [], values: new Map([[INPUT_NAME, ONNX_INPUT]]) };
}

function exportLayer(
  graph: GraphParts,
  network: Network,
  weights: WeightLookup,
  layer: Layer,
  output: string,
): void {
  const input = graph.values.get(layer.input) ?? layer.input;
  graph.values.set(layer.name, output);
  switch (layer.kind) {
    case 'convolution':
      exportConvolution(graph, layer, weights, input, output);
      return;
    case 'dense':
      exportDense(graph, network, layer, weights, input, output);
      return;
    case 'max-pool':
      graph.nodes.push(
        makeNode({
          opType: 'MaxPool',
          name: layer.name,
          inputs: [input],
          outputs: [output],
          attributes: windowAttributes(layer),
        }),
      );
      return;
    case 'global-average-pool': {
      const pooled = `${layer.name}/mean`;
      graph.nodes.push(
        makeNode({
          opType: 'GlobalAveragePool',
          name: pooled,
          inputs: [input],
          outputs: [pooled],
        }),
      );
      pushReshape(graph, layer.name, pooled, output);
      return;
    }
    case 'flatten':
      pushReshape(graph, layer.name, input, output);
      return;
    case 'dropout':
      graph.values.set(layer.name, input);
      return;
    case 'add': {
      const second = graph.values.get(layer.secondInput) ?? layer.secondInput;
      pushWithActivation(graph, layer.activation, output, (value) =>
        makeNode({ opType: 'Add', name: layer.name, inputs: [input, second], outputs: [value] }),
      );
    }
  }
}

function exportConvolution(
  graph: GraphParts,
  layer: ConvolutionLayer,
  weights: WeightLookup,
  input: string,
  output: string,
): void {
  const { weightsHwio, bias } = foldBatchNorm(layer, weights);
  const outputs = layer.outputShape.channels;
  const inputs = layer.inputShape.channels;
  const size = layer.kernelSize;
  const sizes = convolutionSizes([size, size, inputs, layer.depthwise ? 1 : outputs]);
  const weightsOihw = convolutionToTorch(weightsHwio, sizes, layer.depthwise);
  const weightName = `${layer.weightName}.weight`;
  const biasName = `${layer.weightName}.bias`;
  graph.initializers.push(
    makeTensor(weightName, [outputs, layer.depthwise ? 1 : inputs, size, size], weightsOihw),
    makeTensor(biasName, [outputs], bias),
  );
  pushWithActivation(graph, layer.activation, output, (value) =>
    makeNode({
      opType: 'Conv',
      name: layer.name,
      inputs: [input, weightName, biasName],
      outputs: [value],
      attributes: { ...windowAttributes(layer), group: layer.depthwise ? inputs : 1 },
    }),
  );
}

function exportDense(
  graph: GraphParts,
  network: Network,
  layer: DenseLayer,
  weights: WeightLookup,
  input: string,
  output: string,
): void {
  const inputs = layer.inputShape.channels;
  const outputs = layer.outputShape.channels;
  const weightName = `${layer.weightName}.weight`;
  const biasName = `${layer.weightName}.bias`;
  const { toTorch } = denseLayout(network, layer.input, [inputs, outputs]);
  graph.initializers.push(
    makeTensor(weightName, [outputs, inputs], toTorch(weightOf(weights, weightName))),
    makeTensor(biasName, [outputs], weightOf(weights, biasName)),
  );
  pushWithActivation(graph, layer.activation, output, (value) =>
    makeNode({
      opType: 'Gemm',
      name: layer.name,
      inputs: [input, weightName, biasName],
      outputs: [value],
      attributes: { transB: 1 },
    }),
  );
}

/** A node and its activation; the layer's value is the activation's output. */
function pushWithActivation(
  graph: GraphParts,
  activation: Activation,
  output: string,
  node: (value: string) => OnnxNode,
): void {
  if (activation === 'none') {
    graph.nodes.push(node(output));
    return;
  }
  const before = `${output}/linear`;
  graph.nodes.push(node(before));
  if (activation === 'relu') {
    graph.nodes.push(
      makeNode({ opType: 'Relu', name: `${output}/relu`, inputs: [before], outputs: [output] }),
    );
    return;
  }
  pushInitializer(graph, 'relu6.min', () => makeTensor('relu6.min', [], Float32Array.of(0)));
  pushInitializer(graph, 'relu6.max', () => makeTensor('relu6.max', [], Float32Array.of(6)));
  graph.nodes.push(
    makeNode({
      opType: 'Clip',
      name: `${output}/relu6`,
      inputs: [before, 'relu6.min', 'relu6.max'],
      outputs: [output],
    }),
  );
}

/** [N, C, H, W] → [N, C * H * W]. Reshape, since Flatten keeps the Gemm after it in float once quantized. */
function pushReshape(graph: GraphParts, name: string, input: string, output: string): void {
  // 0 copies the input's size, -1 takes the rest (ONNX operator Reshape, opset 14).
  pushInitializer(graph, 'flat.shape', () =>
    makeTensor('flat.shape', [2], BigInt64Array.of(0n, -1n)),
  );
  graph.nodes.push(
    makeNode({ opType: 'Reshape', name, inputs: [input, 'flat.shape'], outputs: [output] }),
  );
}

/** Adds a shared constant once. */
function pushInitializer(graph: GraphParts, name: string, make: () => Initializer): void {
  if (!graph.initializers.some((initializer) => initializer.name === name)) {
    graph.initializers.push(make());
  }
}

function windowAttributes({
  kernelSize,
  stride,
  padding: { top, left, bottom, right },
}: {
  kernelSize: number;
  stride: number;
  padding: Padding;
}): Record<string, readonly number[]> {
  return {
    kernel_shape: [kernelSize, kernelSize],
    strides: [stride, stride],
    pads: [top, left, bottom, right],
  };
}

/** float32 bytes of all parameters, about the size of the exported file. */
export function weightByteCount(network: Network): number {
  return parameterSpecs(network).reduce(
    (sum, { shape }) => sum + 4 * shape.reduce((product, size) => product * size, 1),
    0,
  );
}
