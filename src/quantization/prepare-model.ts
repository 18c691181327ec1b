import { pruneInitializers, pruneNodes, sortNodes } from '../onnx/graph-edit.ts';
import { checkShapes } from '../onnx/check-shapes.ts';
import { checkFinite, checkGraph, functionDomains } from '../onnx/check.ts';
import { hideForeignOperators } from '../onnx/foreign-operators.ts';
import { cloneModel, graphOf, type OnnxGraph, type OnnxModel } from '../onnx/model.ts';
import { dropCopies } from '../onnx/transforms/drop-copies.ts';
import { dropNotes } from '../onnx/transforms/drop-notes.ts';
import { foldAffine } from '../onnx/transforms/fold-affine.ts';
import { foldConstants } from '../onnx/transforms/fold-constants.ts';
import { foldPad } from '../onnx/transforms/fold-pad.ts';
import { fullPads } from '../onnx/transforms/full-pads.ts';
import { fullResizes } from '../onnx/transforms/full-resizes.ts';
import { inlineFunctions } from '../onnx/transforms/inline-functions.ts';
import { joinReshapes } from '../onnx/transforms/join-reshapes.ts';
import { liftTranspose } from '../onnx/transforms/lift-transpose.ts';
import { lowerHardSwish } from '../onnx/transforms/lower-hard-swish.ts';
import { lowerReduceMean } from '../onnx/transforms/lower-reduce-mean.ts';
import { matmulToGemm } from '../onnx/transforms/matmul-to-gemm.ts';
import { normalizeGemm } from '../onnx/transforms/normalize-gemm.ts';
import { sinkTransposes } from '../onnx/transforms/sink-transposes.ts';
import { splitSum } from '../onnx/transforms/split-sum.ts';
import { upgradeOpset } from '../onnx/transforms/upgrade-opset.ts';
import { writeGelus } from '../onnx/transforms/write-gelus.ts';

/**
 * A copy of `model` in the form that calibration and quantization work on: the same function of its
 * input, opset 13 or higher, batch norm folded, written in the operators that have integer forms.
 * Deterministic, so that a table calibrated on one copy names the tensors of another.
 */
export function prepareModel(model: OnnxModel): OnnxModel {
  const prepared = cloneModel(model);
  const graph = graphOf(prepared);
  sortNodes(graph);
  const transforms: readonly ((graph: OnnxGraph) => void)[] = [
    foldConstants,
    dropCopies,
    splitSum,
    lowerReduceMean,
    fullPads,
    fullResizes,
    liftTranspose,
    sinkTransposes,
    matmulToGemm,
    normalizeGemm,
    joinReshapes,
    lowerHardSwish,
    writeGelus,
    foldPad,
    foldAffine,
    pruneNodes,
    pruneInitializers,
  ];
  dropNotes(prepared);
  inlineFunctions(prepared);
  upgradeOpset(prepared);
  const reveal = hideForeignOperators(graph);
  for (const transform of transforms) {
    transform(graph);
    checkGraph(graph, `the model after ${transform.name}`, functionDomains(prepared));
  }
  reveal();
  checkFinite(graph, 'the prepared model');
  checkShapes(graph, 'the prepared model');
  return prepared;
}
