import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';

/** Attribute of a TensorFlow operation as tfjs-node's binding takes it. */
export interface OperationAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** What the binding tells of an operation's output. */
interface OutputMetadata {
  readonly id: number;
  readonly shape: readonly number[];
  readonly dtype: number;
}

/** The part of tfjs-node's backend used here; its published types leave it out. */
interface NativeBackend {
  readonly binding: Readonly<
    Record<
      | 'TF_FLOAT'
      | 'TF_INT32'
      | 'TF_ATTR_TYPE'
      | 'TF_ATTR_BOOL'
      | 'TF_ATTR_STRING'
      | 'TF_ATTR_INT'
      | 'TF_ATTR_FLOAT'
      | 'TF_ATTR_SHAPE',
      number
    >
  > & {
    executeOp(
      name: string,
      attributes: readonly OperationAttribute[],
      inputIds: readonly number[],
      outputCount: number,
    ): OutputMetadata[];
  };
  readonly tensorMap: { get(dataId: object): { dtype: number } };
  getInputTensorIds(inputs: readonly Tensor[]): number[];
  createOutputTensor(metadata: OutputMetadata): Tensor;
}

/** Numbers of the types in TensorFlow's types.proto. tfjs has no such types. */
const BFLOAT16 = 14;
const INT16 = 5;

/** Runs operations of TensorFlow that tfjs does not reach, bfloat16 ones among them. */
export interface NativeOperations {
  readonly float32: number;
  readonly int32: number;
  readonly bfloat16: number;
  readonly int16: number;
  /** The type a tensor has in TensorFlow. */
  readonly typeOf: (tensor: Tensor) => number;
  type(name: string, value: number): OperationAttribute;
  readonly attribute: (
    name: string,
    kind: 'BOOL' | 'STRING' | 'INT' | 'FLOAT' | 'SHAPE',
    value: unknown,
  ) => OperationAttribute;
  /**
   * The outputs belong to the caller. tfjs takes those in bfloat16 and int16 for float32 tensors, so only
   * operations called here may read them, and none of their values.
   */
  execute(
    name: string,
    attributes: readonly OperationAttribute[],
    inputs: readonly Tensor[],
    outputCount: number,
  ): Tensor[];
}

/** Told of every operation: its name and how long it took. */
export type OperationObserver = (name: string, milliseconds: number) => void;

export function nativeOperations(tf: Tensorflow, observe?: OperationObserver): NativeOperations {
  // tfjs-node's backend; `loadTensorflow` has chosen it.
  const backend = tf.backend() as unknown as NativeBackend;
  const { binding } = backend;
  const outputTensor = (metadata: OutputMetadata): Tensor => {
    const { dtype } = metadata;
    if (dtype !== BFLOAT16 && dtype !== INT16) return backend.createOutputTensor(metadata);
    const tensor = backend.createOutputTensor({ ...metadata, dtype: binding.TF_FLOAT });
    backend.tensorMap.get(tensor.dataId).dtype = dtype;
    return tensor;
  };
  const execute: NativeOperations['execute'] = (name, attributes, inputs, outputCount) =>
    binding
      .executeOp(name, attributes, backend.getInputTensorIds(inputs), outputCount)
      .map(outputTensor);
  return {
    float32: binding.TF_FLOAT,
    int32: binding.TF_INT32,
    bfloat16: BFLOAT16,
    int16: INT16,
    typeOf: (tensor) => backend.tensorMap.get(tensor.dataId).dtype,
    type: (name, value) => ({ name, type: binding.TF_ATTR_TYPE, value }),
    attribute: (name, kind, value) => ({ name, type: binding[`TF_ATTR_${kind}`], value }),
    execute:
      observe === undefined
        ? execute
        : (name, ...others) => {
            const startedAt = performance.now();
            const outputs = execute(name, ...others);
            observe(name, performance.now() - startedAt);
            return outputs;
          },
  };
}
