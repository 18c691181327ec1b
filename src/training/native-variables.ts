import type { Tensor } from '@tensorflow/tfjs-node';
import type { Tensorflow } from '../runtime/tensorflow.ts';
import type { NativeOperations } from './native-operations.ts';

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
