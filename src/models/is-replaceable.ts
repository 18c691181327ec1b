import { headOf, type Network, type ParameterSpec } from './network.ts';

/** Whether a parameter is drawn anew where weights have it in another shape, and not refused. */
export function isReplaceable(network: Network, { layer }: ParameterSpec): boolean {
  if (layer === headOf(network)) return true;
  // The paper's AlexNet has 6400 features of 224 px images where torchvision's has 9216, and as many
  // others as there are other sizes: it trains that layer anew.
  return network.options.architecture === 'alexnet' && layer.weightName === 'classifier.1';
}
