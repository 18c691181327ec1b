/**
 * What `import … from 'drq'` gives: the contract of stage kinds of one's own, errors, seeded random
 * numbers, metrics files, and the quantizer.
 */
export { z } from 'zod';
export {
  DataError,
  DrqError,
  EnvironmentError,
  InterruptedError,
  OnnxError,
  PipelineError,
  StageError,
  StoreError,
  UsageError,
} from './diagnostics/errors.ts';
export type { Diagnostic, Result, SourceRange } from './diagnostics/diagnostic.ts';
export { createRandom, shuffled, type Random } from './numeric/random.ts';
/** What a stage node and a pipeline consist of. */
export type {
  JsonObject,
  JsonValue,
  MatrixScalar,
  MetricSource,
  NodeInput,
  NodeOutput,
  Pipeline,
  ReferenceSpec,
  StageGraph,
  StageId,
  StageNode,
  TableRow,
  TableSpec,
} from './pipeline/spec.ts';
export type { RunEvent } from './report/run-event.ts';
export { ARTIFACT_KINDS, type Artifact, type ArtifactKind, type Digest } from './stage/artifact.ts';
export {
  defineStage,
  type AnyStageDefinition,
  type InputDeclaration,
  type OutputDeclaration,
  type ProgressUpdate,
  type ResolvedInput,
  type RuntimeName,
  type StageContext,
  type StageDefinition,
} from './stage/definition.ts';
export {
  readMetricsFile,
  writeMetricsFile,
  type MetricsFile,
  type MetricValue,
} from './stage/metrics-file.ts';
/** The messages of ONNX (onnx/onnx.proto) that a model consists of. */
export type {
  Initializer as OnnxTensor,
  OnnxAttribute,
  OnnxFunction,
  OnnxGraph,
  OnnxMetadata,
  OnnxModel,
  OnnxNode,
  OnnxOperatorSet,
  OnnxSparseTensor,
  OnnxTensorAnnotation,
  OnnxTensorSegment,
  OnnxTraining,
  OnnxType,
  OnnxTypeMap,
  OnnxTypeOpaque,
  OnnxTypeOptional,
  OnnxTypeSequence,
  OnnxTypeSparseTensor,
  OnnxTypeTensor,
  ValueInfo as OnnxValueInfo,
} from './onnx/model.ts';
/** The same by bytes, for models that lie in no file. */
export { bytesOfModel as encodeOnnx, modelFromBytes as decodeOnnx } from './onnx/model-bytes.ts';
export { readOnnx } from './onnx/reader.ts';
export { writeOnnx } from './onnx/writer.ts';
export { readCalibrationTable, type CalibrationTable } from './quantization/calibration-table.ts';
export type { CalibrationMethod, CorrectionChoices } from './quantization/choices.ts';
export { calibrateModel, quantizeModel, type LibraryQuantization } from './quantization/library.ts';
export type {
  CalibrateModelOptions,
  InputTensors,
  LibraryProgress,
  PhotographFolder,
  QuantizeModelOptions,
} from './quantization/library-options.ts';
export type { Granularity, InputType, Target } from './quantization/choices.ts';
/** A node that stayed float: its name, its operator and why. */
export type { FloatNode } from './quantization/mark-graph.ts';
export type { MixedPrecision, TradeStep } from './quantization/mixed-precision.ts';
export type { OperatorTime } from './quantization/operator-times.ts';
export type { LayerSensitivity, Sensitivity } from './quantization/sensitivity.ts';
export type { Fidelity } from './quantization/fidelity.ts';
export type {
  LayerReport,
  PairSumProof,
  QuantizationReport,
  QuantizationSettings,
} from './quantization/quantization-report.ts';
