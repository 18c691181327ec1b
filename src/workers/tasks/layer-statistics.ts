import { OnnxError } from '../../diagnostics/errors.ts';
import {
  patchPlaces,
  quantizePatches,
  type Patches,
} from '../../quantization/corrections/patch-sampler.ts';
import type { LayerStatistics } from '../../quantization/corrections/statistics-model.ts';
import type { OnnxTensor } from '../../runtime/onnx-session.ts';
import { eachBatch, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export type SampledLayer = Omit<LayerStatistics, 'layer'> & {
  /** Patches an image. */
  readonly count: number;
};

export interface StatisticsRequest {
  /** One image a batch. */
  readonly run: ImageRun;
  readonly layers: readonly SampledLayer[];
}

export interface LayerSums {
  /** uint8 [images · count, C · kH · kW] */
  readonly codes: Uint8Array;
  /** [images, 2, C · kH · kW]: the mean input, then what rounding adds to it, of the patches. */
  readonly means: Float32Array;
}

/** One entry a layer, images in the order of the request. */
export type StatisticsResponse = TaskResult<readonly LayerSums[]>;

/** Patches and means of the inputs of layers. Positions depend on the image's index only. */
export function run({ run, layers }: StatisticsRequest): Promise<StatisticsResponse> {
  return settleTask(async () => {
    const codes = layers.map((): Uint8Array[] => []);
    const means = layers.map((): Float32Array[] => []);
    await eachBatch(run, async (session, image, _imageCount, [index = 0]) => {
      const offset = (index * GOLDEN_RATIO) % 1;
      const places = layers.map(({ plane, geometry, count }) =>
        patchPlaces(plane, geometry, { count, offset }),
      );
      const indices: Record<string, OnnxTensor> = {};
      for (const [i, { gathered }] of layers.entries()) {
        if (gathered.indices === undefined) continue;
        const data = BigInt64Array.from(places[i]!, (place) => BigInt(Math.max(place, 0))); // one a layer
        indices[gathered.indices] = { data, dims: [data.length] };
      }
      const outputs = await session.run({ ...image, ...indices });
      for (const [i, layer] of layers.entries()) {
        const { gathered, geometry, parameters, count } = layer;
        const values = floatsOf(outputs, gathered.output);
        const area = geometry.kernel[0] * geometry.kernel[1];
        let patches: Patches;
        if (gathered.indices === undefined) {
          patches = quantizePatches(values, Int32Array.of(0), area, parameters);
          for (let n = 0; n < count; n += 1) codes[i]?.push(patches.codes);
        } else {
          patches = quantizePatches(values, places[i]!, area, parameters); // one a layer
          codes[i]?.push(patches.codes);
        }
        means[i]?.push(patches.means);
      }
    });
    return layers.map((_, i) => ({
      codes: joined(codes[i] ?? [], (length) => new Uint8Array(length)),
      means: joined(means[i] ?? [], (length) => new Float32Array(length)),
    }));
  });
}

/** Multiples of it, modulo 1, fill [0, 1) evenly (Weyl 1916), so images are sampled at other places. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

function joined<T extends Uint8Array | Float32Array>(
  parts: readonly T[],
  create: (length: number) => T,
): T {
  const result = create(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

function floatsOf(outputs: Readonly<Record<string, OnnxTensor>>, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array) return data;
  throw new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${name}" is not float32, so its layer cannot be corrected`,
    hint: 'quantize a float32 model',
  });
}
