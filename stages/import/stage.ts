import { copyFile } from 'node:fs/promises';
import { OnnxError } from '../../src/diagnostics/errors.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { describeModel } from '../../src/onnx/describe-model.ts';
import { classifierSignature, type ClassifierSignature } from '../../src/onnx/model-signature.ts';
import { readOnnxFiles } from '../../src/onnx/reader.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { openOnnxSession } from '../../src/runtime/onnx-session.ts';
import { defineStage } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import { importParameters } from './parameters.ts';

// `import` is a reserved word, so this one stage is not named exactly as its kind.
export const importModel = defineStage({
  kind: 'import',
  version: 1,
  description: 'Checks an ONNX model made elsewhere and reports what it consists of.',
  parameters: importParameters,
  inputs: { model: { kinds: ['file', 'model/onnx'], description: 'The ONNX file.' } },
  outputs: {
    model: {
      kind: 'model/onnx',
      description: 'The same bytes, checked.',
    },
    report: {
      kind: 'metrics',
      description: 'Opset, IR version, operators, parameters, shapes of inputs and outputs.',
    },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 1,
  isolation: 'in-process',
  async run(context) {
    const { inputs, outputs } = context;
    const { path } = inputs['model']!; // required, so the engine gives it
    context.progress({ done: 0, total: 3, unit: 'steps', label: 'read and check' });
    const { model, dataFiles } = await readOnnxFiles(path);
    checkModel(model, path);
    const signature = classifierSignature(model, path);
    context.progress({ done: 1, total: 3, unit: 'steps', label: 'run once in onnxruntime' });
    await tryOut(path, signature);
    context.progress({ done: 2, total: 3, unit: 'steps', label: 'report' });
    const description = describeModel(model);
    if (dataFiles.length === 0) await copyFile(path, outputs['model']!);
    else await writeOnnx(outputs['model']!, model);
    await writeMetricsFile(outputs['report']!, {
      values: [
        { name: 'opset', value: description.opset, unit: '', direction: 'neutral' },
        { name: 'irVersion', value: description.irVersion, unit: '', direction: 'neutral' },
        {
          name: 'parameterCount',
          value: description.parameterCount,
          unit: '',
          direction: 'neutral',
        },
      ],
      // The engine knows the digest of the model file only.
      notes: dataFiles.map(
        (name) =>
          `weights came from ${name} beside the model: run this stage with --force when that file alone changes`,
      ),
      details: {
        operators: { ...description.operators },
        inputs: mutable(description.inputs),
        outputs: mutable(description.outputs),
      },
    });
    context.progress({ done: 3, total: 3, unit: 'steps' });
  },
});

/** Some faults, such as channels that do not divide into groups, show only when a model runs. */
async function tryOut(
  path: string,
  { inputName, batchSize, height, width }: ClassifierSignature,
): Promise<void> {
  const session = await openOnnxSession(path, { threadCount: 1 });
  try {
    if (height === null || width === null) return; // any size: there is none to choose
    const dims = [batchSize ?? 1, 3, height, width];
    const data = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
    await session.run({ [inputName]: { data, dims } });
  } catch (cause) {
    throw new OnnxError({
      code: 'onnx/cannot-run',
      message: `onnxruntime cannot run ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'export the model again; its operators do not fit one another',
      cause,
    });
  } finally {
    await session.release();
  }
}

function mutable(
  shapes: Readonly<Record<string, readonly (number | string)[]>>,
): Record<string, (number | string)[]> {
  return Object.fromEntries(Object.entries(shapes).map(([name, dims]) => [name, [...dims]]));
}
