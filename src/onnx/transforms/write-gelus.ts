import { makeTensor } from '../build.ts';
import { nameMaker } from '../graph-edit.ts';
import type { OnnxGraph } from '../model.ts';
import { findGelus } from './find-gelus.ts';

/** Writes x · 0.7071 in each GELU as x / √2: onnxruntime makes one kernel of that form alone. */
export function writeGelus(graph: OnnxGraph): void {
  const newName = nameMaker(graph);
  for (const { input, scaled } of findGelus(graph)) {
    if (scaled.opType === 'Div') continue;
    const root = newName(`${scaled.output[0] ?? ''}_root`);
    graph.initializer.push(makeTensor(root, [], Float32Array.of(Math.SQRT2)));
    scaled.opType = 'Div';
    scaled.input = [input, root];
  }
}
