import type { Network } from './network.ts';

/** Keras's layer name for each convolution and dense layer of MobileNetV2, by our weight name. */
export function kerasNames(network: Network): Map<string, string> {
  const names = new Map<string, string>();
  for (const layer of network.layers) {
    if (layer.kind !== 'convolution' && layer.kind !== 'dense') continue;
    names.set(layer.weightName, kerasName(layer.weightName, network));
  }
  return names;
}

function kerasName(weightName: string, network: Network): string {
  if (weightName === 'features.0.0') return 'Conv1';
  if (weightName === 'classifier.1') return 'predictions';
  const [, blockText = '', ...rest] = weightName.split('.');
  const block = Number(blockText);
  if (rest[0] !== 'conv') return 'Conv_1';
  const prefix = block === 1 ? 'expanded_conv' : `block_${block - 1}`;
  // Block 1 has no expansion, so its positions lie one lower: 0.0 depthwise, 1 project.
  const position = Number(rest[1]) + (block === 1 ? 1 : 0);
  const part = ['expand', 'depthwise', 'project'][position];
  if (part === undefined) {
    throw new Error(`${network.options.architecture} has no Keras name for ${weightName}`);
  }
  return `${prefix}_${part}`;
}
