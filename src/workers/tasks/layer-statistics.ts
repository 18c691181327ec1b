import {
  patchPlaces,
  quantizePatches,
  type Patches,
} from '../../quantization/corrections/patch-sampler.ts';
import type { LayerStatistics } from '../../quantization/corrections/statistics-model.ts';
import type { OnnxTensor } from '../../runtime/onnx-session.ts';
import { floatsOf } from '../float-output.ts';
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
        const data = places[i]!.map((place) => Math.max(place, 0)); // one a layer
        indices[gathered.indices] = { data, dims: [data.length] };
      }
      const outputs = await session.run({ ...image, ...indices });
      for (const [i, { gathered, parameters, count }] of layers.entries()) {
        const values = floatsOf(outputs, gathered.output);
        const { codes, means } = targets[i]!;
        const isSampled = gathered.indices !== undefined;
        const given = isSampled ? places[i]! : new Int32Array(count);
        const all = isSampled
          ? values
          : spreadRows(values, outputs[gathered.output]?.dims.at(-1) ?? 1, { count, offset });
        const width = all.length / count;
        const patches = {
          codes,
          means: means.subarray(position * 2 * width, (position + 1) * 2 * width),
        };
        const columns = { first: position * count, count, patchCount: codes.length / width };
        quantizePatches(all, given, parameters, patches, columns);
      }
      position += 1;
    });
    return null;
  });
}

/** [rows, C] → [C, count]: rows evenly spaced from an offset in [0, 1), a single one as often as wanted. */
function spreadRows(
  values: Float32Array,
  width: number,
  { count, offset }: { readonly count: number; readonly offset: number },
): Float32Array {
  const rowCount = values.length / width;
  const result = new Float32Array(width * count);
  for (let i = 0; i < count; i += 1) {
    const row = Math.floor(((i + offset) * rowCount) / count) % rowCount;
    for (let c = 0; c < width; c += 1) result[c * count + i] = values[row * width + c]!; // in the rows
  }
  return result;
}

/** Multiples of it, modulo 1, fill [0, 1) evenly (Weyl 1916), so images are sampled at other places. */
const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;
