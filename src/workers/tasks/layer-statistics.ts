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
  /** Where to write what is found, in shared memory; one a layer, for all images of the pass. */
  readonly targets: readonly Patches[];
  /** Position in the pass of the request's first image. */
  readonly first: number;
}

export type StatisticsResponse = TaskResult<null>;

/** Patches and means of the inputs of layers. Places depend on the image's index only. */
export function run({
  run,
  layers,
  targets,
  first,
}: StatisticsRequest): Promise<StatisticsResponse> {
  return settleTask(async () => {
    let position = first;
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
        const isSampled = gathered.indices !== undefined;
        const given = isSampled ? places[i]! : Int32Array.of(0);
        const width = (values.length / given.length) * area;
        const target = imageShare(targets[i]!, position, count, width);
        quantizePatches(values, given, area, parameters, target);
        // A Gemm has one place, which all patches repeat.
        if (!isSampled) repeat(target.codes, width);
      }
      position += 1;
    });
    return null;
  });
}

/** The part of the image at `position`. */
function imageShare(
  { codes, means }: Patches,
  position: number,
  count: number,
  width: number,
): Patches {
  return {
    codes: codes.subarray(position * count * width, (position + 1) * count * width),
    means: means.subarray(position * 2 * width, (position + 1) * 2 * width),
  };
}

/** Copies the first `width` values over the rest. */
function repeat(values: Uint8Array, width: number): void {
  for (let start = width; start < values.length; start += width) values.copyWithin(start, 0, width);
}

/** Multiples of it, modulo 1, fill [0, 1) evenly (Weyl 1916), so images are sampled at other places. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;

function floatsOf(outputs: Readonly<Record<string, OnnxTensor>>, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (data instanceof Float32Array) return data;
  throw new OnnxError({
    code: 'quantization/not-float',
    message: `tensor "${name}" is not float32, so its layer cannot be corrected`,
    hint: 'quantize a float32 model',
  });
}
