import { pruneInitializers, pruneNodes, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { foldBatchNorm } from '../onnx/transforms/fold-batch-norm.ts';
import { foldConstants } from '../onnx/transforms/fold-constants.ts';

/**
 * A copy of `model` in the form that calibration and quantization work on: the same function of its
 * input. Deterministic, so that a table calibrated on one copy names the tensors of another.
 */
export function prepareModel(model: OnnxModel): OnnxModel {
  const prepared = cloneModel(model);
  const graph = graphOf(prepared);
  foldConstants(graph);
  sortNodes(graph);
  foldBatchNorm(graph);
  pruneNodes(graph);
  pruneInitializers(graph);
  return prepared;
}
