import { stat, writeFile } from 'node:fs/promises';
import { readImageShards } from '../../src/data/image-shards.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import {
  readCalibrationTable,
  type CalibrationTable,
} from '../../src/quantization/calibration-table.ts';
import { readOptimizedGraph } from '../../src/quantization/optimized-graph.ts';
import { quantizeCalibrated } from '../../src/quantization/quantize-calibrated.ts';
import { makeQuantizationReport } from '../../src/quantization/quantization-report.ts';
import { requireImageModel } from '../../src/quantization/require-image-model.ts';
import { locateSamples } from '../../src/quantization/select-samples.ts';
import { defineStage, type StageContext } from '../../src/stage/definition.ts';
import { writeMetricsFile } from '../../src/stage/metrics-file.ts';
import type { ImageSelection } from '../../src/workers/run-image-batches.ts';
import { quantizeParameters, type QuantizeParameters } from './parameters.ts';

export const quantize = defineStage({
  kind: 'quantize',
  version: 1,
  description: 'Quantizes a calibrated float model to int8 in the form onnxruntime fuses.',
  parameters: quantizeParameters,
  inputs: {
    model: { kinds: ['model/onnx'], description: 'The float32 model that was calibrated.' },
    table: { kinds: ['calibration-table'], description: 'Ranges from the calibrate stage.' },
    images: {
      kinds: ['image-shards'],
      optional: true,
      description: 'The images of the calibration; with them biases are corrected.',
    },
  },
  outputs: {
    model: { kind: 'model/onnx', description: 'QDQ: uint8 activations, int8 weights, int32 bias.' },
    report: {
      kind: 'metrics',
      description: 'Sizes, operators as onnxruntime runs them, what stayed float and why.',
    },
    summary: { kind: 'report', description: 'The same for people.' },
  },
  runtimes: ['onnxruntime-node'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 2,
  isolation: 'in-process',
  async run(context) {
    const { inputs, outputs, parameters, scratchPath, signal } = context;
    const modelPath = inputs['model']!.path; // both are required, so the engine gives them
    const table = await readCalibrationTable(inputs['table']!.path);
    const model = await readOnnx(modelPath);
    checkModel(model, modelPath);
    const images = await correctionImages(context, table);
    const { exclude, batchSize, biasCorrection, ...settings } = parameters;
    const batchLimit =
      images === undefined
        ? 1
        : requireImageModel(model, modelPath, await readImageShards(images.folder)).maxBatchSize;
    const quantized = await quantizeCalibrated({
      model,
      table,
      settings: { ...settings, excluded: new Set(exclude) },
      ...(images === undefined ? {} : { images }),
      batchSize: Math.min(batchSize, batchLimit),
      workerCount: context.resources.cpuCount,
      scratchPath,
      signal,
      onProgress: (done, total) => context.progress({ done, total, unit: 'images' }),
    });
    const entries = {
      'drq.quantization': JSON.stringify({
        ...settings,
        biasCorrection: images === undefined ? 'none' : biasCorrection,
      }),
      'drq.calibration': JSON.stringify({ method: table.method, count: table.samples.length }),
    };
    const { metadataProps } = quantized.model;
    for (const [key, value] of Object.entries(entries)) {
      metadataProps.push({ $typeName: 'onnx.StringStringEntryProto', key, value });
    }
    await writeOnnx(outputs['model']!, quantized.model);

    const report = makeQuantizationReport({
      plan: quantized.plan,
      optimized: await readOptimizedGraph(
        outputs['model']!,
        scratchPath,
        quantized.plan.floatNodes,
      ),
      floatSizeBytes: (await stat(modelPath)).size,
      sizeBytes: (await stat(outputs['model']!)).size,
      biasCorrection: images === undefined ? 'none' : 'local',
    });
    await writeMetricsFile(outputs['report']!, report.metrics);
    await writeFile(outputs['summary']!, report.markdown);
  },
});

/** The images the biases are corrected on, or undefined when they are not to be corrected. */
async function correctionImages(
  context: StageContext<QuantizeParameters>,
  table: CalibrationTable,
): Promise<ImageSelection | undefined> {
  if (context.parameters.biasCorrection === 'none') return undefined;
  const images = context.inputs['images'];
  if (images === undefined) {
    context.warn('biases are not corrected: the stage has no input "images"');
    return undefined;
  }
  const shards = await readImageShards(images.path);
  const indices = locateSamples(shards, table.split, table.samples);
  return { folder: images.path, split: table.split, indices };
}
