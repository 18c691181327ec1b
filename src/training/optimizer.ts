import type { Tensorflow } from '../runtime/tensorflow.ts';
import { createAdamOptimizer } from './adam-optimizer.ts';
import { createMomentumOptimizer } from './momentum-optimizer.ts';
import type { OperationObserver } from './native-operations.ts';
import type { Optimizer, OptimizerOptions, UpdatedNetwork } from './optimizer-types.ts';

export function createOptimizer(
  tf: Tensorflow,
  network: UpdatedNetwork,
  options: OptimizerOptions,
  observe?: OperationObserver,
): Optimizer {
  switch (options.optimizer) {
    case 'sgd':
    case 'nesterov':
      return createMomentumOptimizer(tf, network, options, observe);
    case 'adam':
    case 'adamw':
      return createAdamOptimizer(tf, network, options, observe);
  }
}
