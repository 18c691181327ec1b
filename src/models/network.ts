/**
 * A network as data: one list of layers drives training, inference, ONNX export and weight loading.
 * Parameters carry torchvision's state_dict names; convolution weights are HWIO, dense weights [in, out].
 */
export interface Network {
  readonly options: NetworkOptions;
  readonly layers: readonly Layer[];
}

export const ARCHITECTURES = [
  'alexnet',
  'mobilenet-v2',
  'resnet18',
  'resnet34',
  'resnet50',
] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

/** Everything a network is built from; plain data, stored beside its weights. */
export interface NetworkOptions {
  readonly architecture: Architecture;
  /** AlexNet only: the paper's (first convolution without padding, no adaptive pool) or torchvision's. */
  readonly variant: 'paper' | 'torchvision';
  /** MobileNetV2 only: factor on every layer's channels. */
  readonly widthMultiplier: number;
  /** `torch`: k/2 zeros on both sides. `same`: TensorFlow's rule, for weights that come from Keras. */
  readonly padding: 'torch' | 'same';
  /** `none`: convolutions carry biases instead, as networks with folded batch norm do. */
  readonly batchNorm: 'standard' | 'none';
  readonly dropout: number;
  readonly classCount: number;
  /** Height and width of the square input, pixels. */
  readonly imageSize: number;
}

export type Activation = 'none' | 'relu' | 'relu6';

/** Zeros around an image: rows above and below, columns left and right. */
export interface Padding {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** Height, width and channels of what a layer gives for one image. */
export interface FeatureShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

interface LayerBase {
  /** Unique; other layers name their input by it. */
  readonly name: string;
  /** Name of the layer whose output this one takes; `input` is the image. */
  readonly input: string;
  readonly inputShape: FeatureShape;
  readonly outputShape: FeatureShape;
}

/** Convolution, then batch norm when it has one, else a bias; then the activation. */
export interface ConvolutionLayer extends LayerBase {
  readonly kind: 'convolution';
  readonly kernelSize: number;
  readonly stride: number;
  readonly padding: Padding;
  readonly depthwise: boolean;
  /** Name of the weight without `.weight`. */
  readonly weightName: string;
  /** Name of the batch norm's parameters without suffix; null: a bias instead. */
  readonly batchNormName: string | null;
  readonly activation: Activation;
}

export interface DenseLayer extends LayerBase {
  readonly kind: 'dense';
  readonly weightName: string;
  readonly activation: Activation;
}

export type Layer =
  | ConvolutionLayer
  | DenseLayer
  | (LayerBase & {
      readonly kind: 'max-pool';
      readonly kernelSize: number;
      readonly stride: number;
      readonly padding: Padding;
    })
  /** Mean over height and width; the result is flat. */
  | (LayerBase & { readonly kind: 'global-average-pool' })
  /** [N, H, W, C] → [N, H * W * C] */
  | (LayerBase & { readonly kind: 'flatten' })
  | (LayerBase & { readonly kind: 'dropout'; readonly rate: number })
  /** Sum of two layers' outputs, then the activation. */
  | (LayerBase & {
      readonly kind: 'add';
      readonly secondInput: string;
      readonly activation: Activation;
    });

export const INPUT_NAME = 'input';
/** PyTorch's defaults, which torchvision's networks use. */
export const BATCH_NORM_EPSILON = 1e-5;
export const BATCH_NORM_MOMENTUM = 0.1;

export type ParameterRole = 'weight' | 'bias' | 'gamma' | 'beta' | 'mean' | 'variance';

export interface ParameterSpec {
  /** torchvision's name: `features.0.0.weight`, `layer1.0.bn1.running_mean`. */
  readonly name: string;
  readonly role: ParameterRole;
  /** Convolution [kh, kw, in, out]; depthwise [kh, kw, channels, 1]; dense [in, out]. */
  readonly shape: readonly number[];
  readonly layer: ConvolutionLayer | DenseLayer;
}

/** All parameters in layer order, batch-norm statistics included. */
export function parameterSpecs(network: Network): ParameterSpec[] {
  return network.layers.flatMap((layer) =>
    layer.kind === 'convolution' || layer.kind === 'dense' ? specsOf(layer) : [],
  );
}

/** Trained numbers, as torchvision counts them: running statistics are not parameters. */
export function parameterCount(network: Network): number {
  return parameterSpecs(network)
    .filter((spec) => isTrained(spec.role))
    .reduce((sum, spec) => sum + elementCount(spec.shape), 0);
}

export function isTrained(role: ParameterRole): boolean {
  return role !== 'mean' && role !== 'variance';
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function specsOf(layer: ConvolutionLayer | DenseLayer): ParameterSpec[] {
  const outputs = layer.outputShape.channels;
  const vector = (name: string, role: ParameterRole): ParameterSpec => ({
    name,
    role,
    shape: [outputs],
    layer,
  });
  const weight = {
    name: `${layer.weightName}.weight`,
    role: 'weight',
    shape: weightShape(layer),
    layer,
  } as const;
  if (layer.kind === 'dense' || layer.batchNormName === null) {
    return [weight, vector(`${layer.weightName}.bias`, 'bias')];
  }
  return [
    weight,
    vector(`${layer.batchNormName}.weight`, 'gamma'),
    vector(`${layer.batchNormName}.bias`, 'beta'),
    vector(`${layer.batchNormName}.running_mean`, 'mean'),
    vector(`${layer.batchNormName}.running_var`, 'variance'),
  ];
}

function weightShape(layer: ConvolutionLayer | DenseLayer): number[] {
  const inputs = layer.inputShape.channels;
  const outputs = layer.outputShape.channels;
  if (layer.kind === 'dense') return [inputs, outputs];
  const size = layer.kernelSize;
  return layer.depthwise ? [size, size, inputs, 1] : [size, size, inputs, outputs];
}

/** The layer that gives the logits; its weights are replaced when the class count differs. */
export function headOf(network: Network): DenseLayer {
  const head = network.layers.at(-1);
  if (head?.kind !== 'dense') throw new Error('a network ends with its dense head');
  return head;
}
