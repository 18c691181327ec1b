import { pruneInitializers, pruneNodes, sortNodes } from '../onnx/graph-edit.ts';
import { cloneModel, graphOf, type OnnxModel } from '../onnx/model.ts';
import { foldBatchNorm } from '../onnx/transforms/fold-batch-norm.ts';
import { foldConstants } from '../onnx/transforms/fold-constants.ts';
import { foldPad } from '../onnx/transforms/fold-pad.ts';
import { lowerReduceMean } from '../onnx/transforms/lower-reduce-mean.ts';
import { matmulToGemm } from '../onnx/transforms/matmul-to-gemm.ts';
import { upgradeOpset } from '../onnx/transforms/upgrade-opset.ts';

/**
 * A copy of `model` in the form that calibration and quantization work on: the same function of its
 * input, opset 13 or higher, batch norm folded, written in the operators that have integer forms.
 * Deterministic, so that a table calibrated on one copy names the tensors of another.
 */
export function prepareModel(model: OnnxModel): OnnxModel {
  const prepared = cloneModel(model);
  const graph = graphOf(prepared);
  upgradeOpset(prepared);
  foldConstants(graph);
  sortNodes(graph);
  foldBatchNorm(graph);
  foldPad(graph);
  lowerReduceMean(graph);
  matmulToGemm(graph);
  pruneNodes(graph);
  pruneInitializers(graph);
  return prepared;
}
