import { OnnxError } from '../../diagnostics/errors.ts';
import { samplePatches, type PatchGeometry } from '../../quantization/corrections/patch-sampler.ts';
import type { ActivationParameters } from '../../quantization/parameters.ts';
import { runImageBatches, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export interface SampledLayer {
  /** An output of the model. */
  readonly tensor: string;
  readonly geometry: PatchGeometry;
  readonly parameters: ActivationParameters;
}

export interface SampleRequest {
  readonly run: ImageRun;
  readonly layers: readonly SampledLayer[];
  /** Patches an image and layer. */
  readonly count: number;
}

/** uint8 [images · count, K] for each layer, images in the order of the request. */
export type SampleResponse = TaskResult<readonly Uint8Array[]>;

/** Patches of the inputs of layers. Positions depend on the image's index only. */
export function run({ run, layers, count }: SampleRequest): Promise<SampleResponse> {
  return settleTask(async () => {
    const parts = layers.map((): Uint8Array[] => []);
    const { indices } = run.images;
    let done = 0;
    await runImageBatches(run, (outputs, imageCount) => {
      for (const [i, { tensor, geometry, parameters }] of layers.entries()) {
        const output = outputs[tensor];
        const data = output?.data;
        if (output === undefined || !(data instanceof Float32Array)) throw notFloat(tensor);
        const values = { data, dims: output.dims };
        for (let n = 0; n < imageCount; n += 1) {
          const offset = ((indices[done + n] ?? 0) * GOLDEN_RATIO) % 1;
          parts[i]?.push(samplePatches(values, n, geometry, parameters, { count, offset }));
        }
      }
      done += imageCount;
    });
    return parts.map(joined);
  });
}

/** Multiples of it, modulo 1, fill [0, 1) evenly (Weyl 1916), so images are sampled at other places. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function notFloat(tensor: string): OnnxError {
  return new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${tensor}" is not float32, so its layer cannot be rounded`,
    hint: 'quantize a float32 model',
  });
}
