import { integerOf, integersOf } from '../../onnx/attributes.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { staysFloat, type Verdict } from './operator.ts';

/** AveragePool → QLinearAveragePool, which has neither of the two forms that are left out here. */
export function markAveragePool(node: OnnxNode): Verdict {
  if (integersOf(node, 'dilations')?.some((dilation) => dilation !== 1) === true)
    return staysFloat('its window is dilated');
  // The integer form divides the last windows by another count than the float one.
  return integerOf(node, 'ceil_mode', 0) !== 0 && integerOf(node, 'count_include_pad', 0) !== 0
    ? staysFloat('it counts padding in windows that reach beyond it (ceil_mode)')
    : { kind: 'integer' };
}

/** MaxPool picks among codes; where the picked ones are is no code. */
export function markMaxPool({ output }: OnnxNode): Verdict {
  return (output[1] ?? '') === ''
    ? { kind: 'shared' }
    : staysFloat('it gives the places of its maxima, too');
}
