import type { CheckpointTensor } from './checkpoint-file.ts';
import type { NetworkRunner } from './network-runner.ts';
import type { Gradients } from './training-pass.ts';

export const OPTIMIZERS = ['sgd', 'nesterov', 'adam', 'adamw'] as const;

export interface OptimizerOptions {
  readonly optimizer: (typeof OPTIMIZERS)[number];
  /** Of sgd and nesterov. */
  readonly momentum: number;
  /** Of adam and adamw: how much of the mean gradient and of the mean square each step keeps. */
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What PyTorch calls a parameter group: how one parameter is updated in one step. */
export interface ParameterGroup {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** What an optimizer needs of a network. */
export type UpdatedNetwork = Pick<NetworkRunner, 'parameters' | 'replace' | 'take'>;

export interface Optimizer {
  /** One update; disposes the gradients. Parameters without a gradient are left alone. */
  step(gradients: Gradients, groupOf: (name: string) => ParameterGroup): void;
  /** All that the next step depends on besides weights and gradients, to be read before that step. */
  readState(): Map<string, CheckpointTensor>;
  writeState(state: ReadonlyMap<string, CheckpointTensor>): void;
  dispose(): void;
}

/** The key of a state: `velocity/features.0.weight`. */
export function stateKey(slot: string, parameter: string): string {
  return `${slot}/${parameter}`;
}

/** A state's values in the shape of the parameter it belongs to; flat where it has another size. */
export function stateShape(
  key: string,
  length: number,
  { parameters }: Pick<UpdatedNetwork, 'parameters'>,
): { readonly parameter: string; readonly shape: number[] } {
  const parameter = key.slice(key.indexOf('/') + 1);
  const weight = parameters.get(parameter);
  return { parameter, shape: weight?.size === length ? weight.shape : [length] };
}
