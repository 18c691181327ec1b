import './no-telemetry.ts';
import * as ort from 'onnxruntime-node';
import { OnnxError } from '../diagnostics/errors.ts';

export interface OnnxTensor {
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;
  readonly dims: readonly number[];
}

export interface SessionOptions {
  /** Always set: onnxruntime sizes its pool from the machine, not from affinity or cgroups (onnxruntime#29510). */
  readonly threadCount: number;
  /** What errors call the model; by default its path. */
  readonly shownName?: string;
  readonly graphOptimization?: 'disabled' | 'basic' | 'all';
  /** Where to save the optimised graph, for reading what fused. */
  readonly optimizedModelPath?: string;
  /** Start of the name of a profile (Chrome trace, JSON), which `release` completes. */
  readonly profilePrefix?: string;
  /**
   * `planned`, the default and onnxruntime's, keeps an arena and, from the second run on, a block for
   * all activations beside it. `arena` does without that block: as fast, 70 MB less of a ResNet-50.
   * `exact` allocates what a run needs and frees it, for runs whose outputs are large.
   */
  readonly memory?: 'planned' | 'arena' | 'exact';
  /** `session.*` configuration entries without the prefix, such as `{ 'intra_op.allow_spinning': '0' }`. */
  readonly configuration?: Readonly<Record<string, string>>;
}

export interface OnnxSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Shape of each input as the model declares it; a dynamic dimension is its name or -1. */
  readonly inputShapes: readonly (readonly (number | string)[])[];
  /** Element type of each input, as onnxruntime names it: `float32`, `uint8`, … */
  readonly inputTypes: readonly string[];
  /** Blocks the calling thread while it computes (onnxruntime#19611): run long work in a worker. */
  run(feeds: Readonly<Record<string, OnnxTensor>>): Promise<Record<string, OnnxTensor>>;
  release(): Promise<void>;
}

/** Opens a model on the CPU. @throws OnnxError `onnx/cannot-load` with onnxruntime's own reason. */
export async function openOnnxSession(
  model: string | Uint8Array,
  options: SessionOptions,
): Promise<OnnxSession> {
  const settings: ort.InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    intraOpNumThreads: options.threadCount,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: options.graphOptimization ?? 'all',
    logSeverityLevel: 4, // fatal: errors are thrown, and need not be said twice
    enableCpuMemArena: options.memory !== 'exact',
    enableMemPattern: (options.memory ?? 'planned') === 'planned',
    ...(options.optimizedModelPath === undefined
      ? {}
      : { optimizedModelFilePath: options.optimizedModelPath }),
    ...(options.profilePrefix === undefined
      ? {}
      : { enableProfiling: true, profileFilePrefix: options.profilePrefix }),
    ...(options.configuration === undefined ? {} : { extra: { session: options.configuration } }),
  };
  let session: ort.InferenceSession;
  try {
    session =
      typeof model === 'string'
        ? await ort.InferenceSession.create(model, settings)
        : await ort.InferenceSession.create(model, settings);
  } catch (cause) {
    throw cannotLoad(options.shownName ?? shownModel(model), cause);
  }
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    inputShapes: session.inputMetadata.map((input) => (input.isTensor ? input.shape : [])),
    inputTypes: session.inputMetadata.map((input) => (input.isTensor ? input.type : '')),
    async run(feeds) {
      const tensors: Record<string, ort.Tensor> = {};
      for (const [name, { data, dims }] of Object.entries(feeds)) {
        tensors[name] = new ort.Tensor(typeOf(data), data, dims);
      }
      const results = await session.run(tensors).catch((cause: unknown) => {
        throw cannotRun(options.shownName ?? shownModel(model), cause);
      });
      const outputs: Record<string, OnnxTensor> = {};
      for (const [name, tensor] of Object.entries(results)) {
        // Models handled here have numeric tensor outputs only; strings cannot come out of them.
        outputs[name] = { data: tensor.data as OnnxTensor['data'], dims: tensor.dims };
      }
      return outputs;
    },
    async release() {
      if (options.profilePrefix !== undefined) session.endProfiling();
      await session.release();
    },
  };
}

function shownModel(model: string | Uint8Array): string {
  return typeof model === 'string' ? model : 'the model';
}

/** Sizes that do not go together are often found only when the model runs; onnxruntime names the node. */
function cannotRun(shownName: string, cause: unknown): OnnxError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).trimEnd();
  return new OnnxError({
    code: 'onnx/cannot-run',
    message: `onnxruntime cannot run ${shownName}: ${reason}`,
    hint: 'check that the model takes inputs of this shape; the file may be damaged',
    cause,
  });
}

function cannotLoad(shownName: string, cause: unknown): OnnxError {
  const said = cause instanceof Error ? cause.message : String(cause);
  const reason = said.replace(/^Load model from .* failed: ?/, '').trimEnd();
  // In onnxruntime's onnxruntime/core/graph/graph.cc: "No Op registered for X with domain_version of N".
  const missing = /\("(.*?)", \S+, .*No Op registered for (\S+) with domain_version of (\d+)/s.exec(
    said,
  );
  if (missing !== null) {
    const [, node, operator, opset] = missing;
    return new OnnxError({
      code: 'onnx/unsupported-operator',
      message: `${shownName}: node "${node}" has the operator ${operator}, which onnxruntime does not have in opset ${opset}`,
      hint: 'export the model with standard ONNX operators of its opset',
      cause,
    });
  }
  return new OnnxError({
    code: 'onnx/cannot-load',
    message: `onnxruntime cannot load ${shownName}: ${reason}`,
    hint: 'check that the file is a complete ONNX model (opset 7 to 22, IR version 13 or lower)',
    cause,
  });
}

function typeOf(data: OnnxTensor['data']): 'float32' | 'uint8' | 'int8' | 'int32' | 'int64' {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Uint8Array) return 'uint8';
  if (data instanceof Int8Array) return 'int8';
  return data instanceof Int32Array ? 'int32' : 'int64';
}
