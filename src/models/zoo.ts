import { buildAlexnet } from './alexnet.ts';
import { buildMobilenetV2 } from './mobilenet-v2.ts';
import { buildResnet } from './resnet.ts';
import type { Network, NetworkOptions } from './network.ts';

/** @throws DataError when the architecture cannot take images of that size. */
export function buildNetwork(options: NetworkOptions): Network {
  switch (options.architecture) {
    case 'alexnet':
      return buildAlexnet(options);
    case 'mobilenet-v2':
      return buildMobilenetV2(options);
    case 'resnet18':
    case 'resnet34':
    case 'resnet50':
      return buildResnet(options.architecture, options);
  }
}

/** What the published recipe drops before dense layers: AlexNet half, the others nothing. */
export function defaultDropout(architecture: NetworkOptions['architecture']): number {
  return architecture === 'alexnet' ? 0.5 : 0;
}
