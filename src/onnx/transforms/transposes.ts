import { integersOf } from '../attributes.ts';
import type { Initializer, OnnxNode } from '../model.ts';
import { dimsOf, elementCount, isFloatTensor } from '../tensor-data.ts';

/** [N, C, H, W] → [N, H, W, C]: axis i of the result is axis CHANNELS_LAST[i] of the input. */
export const CHANNELS_LAST = [0, 2, 3, 1] as const;
/** [N, H, W, C] → [N, C, H, W] */
export const CHANNELS_FIRST = [0, 3, 1, 2] as const;

export function turns(node: OnnxNode, order: readonly number[]): boolean {
  return node.opType === 'Transpose' && integersOf(node, 'perm')?.join() === order.join();
}

const OF_TWO = new Set(['Add', 'Sub', 'Mul', 'Div']);

export function isArithmetic({ opType }: OnnxNode): boolean {
  return OF_TWO.has(opType);
}

/** Whether a tensor is one number, or one a channel where these come last: [C], [1, 1, C], … */
export function isPerChannel(tensor: Initializer): boolean {
  const count = elementCount(tensor);
  return (
    isFloatTensor(tensor) &&
    tensor.dims.length <= CHANNELS_LAST.length &&
    (count === 1 || dimsOf(tensor).at(-1) === count)
  );
}
