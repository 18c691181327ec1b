import { makeTensor } from '../build.ts';
import { nameMaker, sortNodes } from '../graph-edit.ts';
import type { OnnxGraph, OnnxNode } from '../model.ts';
import { findGelus } from './find-gelus.ts';

/**
 * Writes each GELU as (x · (1 + erf(x / √2))) / 2: onnxruntime makes one kernel of that form, and none
 * where x is multiplied by 0.7071 or by half the sum.
 */
export function writeGelus(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  const constant = (name: string, value: number): string => {
    const wanted = newName(name);
    graph.initializer.push(makeTensor(wanted, [], Float32Array.of(value)));
    return wanted;
  };
  for (const { input, scaled, sum, product, halved, last } of findGelus(graph)) {
    if (scaled.opType === 'Mul') {
      scaled.opType = 'Div';
      scaled.input = [input, constant(`${outputOf(scaled)}_root`, Math.SQRT2)];
    }
    if (!halved.input.includes(outputOf(sum))) continue;
    const result = outputOf(last);
    const whole = newName(`${result}_whole`);
    product.input = [input, outputOf(sum)];
    product.output = [whole];
    halved.input = [whole, constant(`${result}_half`, 0.5)];
    halved.output = [result];
  }
  sortNodes(graph);
}

function outputOf({ output }: OnnxNode): string {
  return output[0] ?? '';
}
