import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { NativeOperations } from './native-operations.ts';

/** A copy of what a variable holds. */
export function valuesOf(variable: Pick<NativeVariable, 'read'>): Float32Array {
  const tensor = variable.read();
  const values = tensor.dataSync<'float32'>(); // copies out of TensorFlow's memory
  tensor.dispose();
  return values;
}

/**
 * float32 memory that operations of TensorFlow change in place (its resource variables), of any shape.
 * It shares the memory of a tensor assigned to it or read from it; a change copies where a tensor that
 * shares it is still alive, so dispose those first.
 */
export interface NativeVariable {
  assign(value: Tensor): void;
  read(): Tensor;
  /** value := value - alpha · delta, in one pass; alpha: a scalar. */
  subtractScaled(alpha: Tensor, delta: Tensor): void;
  /**
   * velocity := momentum · velocity + gradient, then value := value - rate · velocity, or with Nesterov
   * value - rate · (gradient + momentum · velocity). Two passes (ApplyMomentum in
   * tensorflow/core/kernels/training_ops.cc).
   */
  momentumStep(step: {
    readonly velocity: NativeVariable;
    readonly gradient: Tensor;
    /** Scalars. */
    readonly rate: Tensor;
    readonly momentum: Tensor;
    readonly isNesterov: boolean;
  }): void;
  /**
   * Adam with the factor of the step and epsilon as given, ready-made: mean := beta1 mean + (1 - beta1) g,
   * square := beta2 square + (1 - beta2) g², value := value - rate · mean / (sqrt(square) + epsilon)
   * (ApplyAdam in tensorflow/core/kernels/training_ops.cc, its own correction of the bias switched off).
   */
  adamStep(step: {
    readonly mean: NativeVariable;
    readonly square: NativeVariable;
    readonly gradient: Tensor;
    /** Scalars. */
    readonly rate: Tensor;
    readonly beta1: Tensor;
    readonly beta2: Tensor;
    readonly epsilon: Tensor;
    /** A scalar 0. */
    readonly zero: Tensor;
  }): void;
  /** For operations on several variables. */
  readonly handle: Tensor;
  dispose(): void;
}

let variableCount = 0;

export function createVariable(tf: Tensorflow, native: NativeOperations): NativeVariable {
  const { attribute } = native;
  variableCount += 1;
  const dtype = native.type('dtype', native.float32);
  const updated = [native.type('T', native.float32), attribute('use_locking', 'BOOL', false)];
  const [handle] = native.execute(
    'VarHandleOp',
    [
      attribute('container', 'STRING', ''),
      // The same name would be the same memory.
      attribute('shared_name', 'STRING', `drq/${variableCount}`),
      dtype,
      attribute('shape', 'SHAPE', []), // of a first value; nothing holds others to it
    ],
    [],
    1,
  ) as [Tensor];
  tf.keep(handle);
  return {
    handle,
    assign: (value) => {
      native.execute('AssignVariableOp', [dtype], [handle, value], 0);
    },
    read: () => native.execute('ReadVariableOp', [dtype], [handle], 1)[0]!, // one was asked for
    subtractScaled: (alpha, delta) => {
      native.execute('ResourceApplyGradientDescent', updated, [handle, alpha, delta], 0);
    },
    momentumStep: ({ velocity, gradient, rate, momentum, isNesterov }) => {
      native.execute(
        'ResourceApplyMomentum',
        [...updated, attribute('use_nesterov', 'BOOL', isNesterov)],
        [handle, velocity.handle, rate, gradient, momentum],
        0,
      );
    },
    adamStep: ({ mean, square, gradient, rate, beta1, beta2, epsilon, zero }) => {
      native.execute(
        'ResourceApplyAdam',
        [...updated, attribute('use_nesterov', 'BOOL', false)],
        // With powers of zero the rate stays what it is.
        [handle, mean.handle, square.handle, zero, zero, rate, beta1, beta2, epsilon, gradient],
        0,
      );
    },
    dispose: () => {
      native.execute(
        'DestroyResourceOp',
        [attribute('ignore_lookup_error', 'BOOL', true)], // nothing was ever assigned
        [handle],
        0,
      );
      handle.dispose();
    },
  };
}
