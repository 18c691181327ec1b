import {
  inputFormOf,
  toNetworkInput,
  type NetworkInput,
  type PackedImages,
} from '../../data/network-input.ts';
import { OnnxError } from '../../diagnostics/errors.ts';
import { openOnnxSession, type OnnxSession } from '../../runtime/onnx-session.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** One batch for one or more models that take the same images. */
export interface InferRequest extends PackedImages {
  readonly modelPaths: readonly string[];
  /** N as the model sees it; rows beyond the images that count are padding. */
  readonly imageCount: number;
}

/** The first output of each model, flattened: float32 [N, C], in the order of `modelPaths`. */
export type InferResponse = TaskResult<readonly Float32Array[]>;

/** One session a model and thread, opened at first use and kept as long as the thread lives. */
const sessions = new Map<string, Promise<OnnxSession>>();

export function run(request: InferRequest): Promise<InferResponse> {
  return settleTask(async () => {
    const inputs = new Map<string, NetworkInput>();
    const responses: Float32Array[] = [];
    for (const path of request.modelPaths) {
      const session = await sessionOf(path);
      const [inputName] = session.inputNames;
      const [outputName] = session.outputNames;
      const form = inputFormOf(session.inputTypes[0] ?? '', session.inputShapes[0] ?? []);
      const formName = `${form.type} ${form.layout}`;
      const input = inputs.get(formName) ?? toNetworkInput(request, form);
      inputs.set(formName, input);
      const outputs = await session.run({ [inputName ?? '']: input });
      const scores = outputs[outputName ?? '']?.data;
      if (!(scores instanceof Float32Array)) throw notFloat(path, outputName);
      responses.push(scores.slice());
    }
    return responses;
  });
}

function sessionOf(path: string): Promise<OnnxSession> {
  const known = sessions.get(path);
  if (known !== undefined) return known;
  const opened = openOnnxSession(path, { threadCount: 1 });
  sessions.set(path, opened);
  return opened;
}

function notFloat(path: string, outputName: string | undefined): OnnxError {
  return new OnnxError({
    code: 'onnx/unsupported-output',
    message: `${path}: output "${outputName ?? ''}" must be a float32 tensor of class scores`,
    hint: 'export the model with float32 logits as its first output',
  });
}
