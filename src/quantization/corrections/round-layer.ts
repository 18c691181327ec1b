import type { CodeBounds } from '../code-bounds.ts';
import { covariancesOf } from './covariance.ts';
import { roundToNearestPlane, type NearestPlaneInput } from './nearest-plane.ts';
import { BLOCK_SIZE, rowBlocks } from './row-blocks.ts';
import { LARGEST_SEARCHED, roundWithFreeScales } from './search-scales.ts';

/** One layer to round; plain data, for worker threads. */
export interface RoundLayer extends CodeBounds {
  /** [M, K]: one row an output channel. */
  readonly rows: Float32Array;
  /** One a row. */
  readonly scales: Float32Array;
  /** Whether each row may have another scale than this, as far as it serves. */
  readonly areScalesFree: boolean;
  /** Rows fall into this many equal groups; group g reads rows [g · K, (g + 1) · K) of the samples. */
  readonly groupCount: number;
  /** Codes of the layer's input, [groupCount · K, P]. */
  readonly samples: Uint8Array;
  readonly sampleCount: number;
  /** Absent: a bias correction follows, so errors of the mean cost nothing. */
  readonly zeroPoint?: number;
}

export interface RoundedLayer {
  /** [M, K] */
  readonly codes: Int8Array;
  /** One a row. */
  readonly scales: Float32Array;
}

/** Codes that keep the layer's output close to the float layer's on the samples. */
export async function roundLayer(layer: RoundLayer): Promise<RoundedLayer> {
  const { rows, limit, meeting, groupCount, samples, sampleCount } = layer;
  const rowCount = layer.scales.length;
  const size = rows.length / rowCount;
  const groupRows = rowCount / groupCount;
  const codes = new Int8Array(rows.length);
  const scales = layer.scales.slice();
  const round =
    layer.areScalesFree && size <= LARGEST_SEARCHED ? roundWithFreeScales : roundWithScales;
  const blocks = rowBlocks(size, meeting);
  // Small groups many at a time, blocks of a long row one by one.
  const together = size <= BLOCK_SIZE ? Math.max(1, Math.floor(MOST_TOGETHER / size)) : 1;
  for (let firstGroup = 0; firstGroup < groupCount; firstGroup += together) {
    const count = Math.min(together, groupCount - firstGroup);
    for (const { first, size: block, meeting: inside } of blocks) {
      const covariances = await covariancesOf(
        { samples, sampleCount, first: firstGroup * size + first, size: block, count },
        layer.zeroPoint,
      );
      for (let n = 0; n < count; n += 1) {
        const covariance = covariances.subarray(n * block ** 2, (n + 1) * block ** 2);
        shrink(covariance, block, sampleCount);
        const firstRow = (firstGroup + n) * groupRows;
        const window = { rowCount: groupRows, size, firstRow, first, block };
        const rounded = await round({
          weights: cut(rows, window),
          scales: scales.subarray(firstRow, firstRow + groupRows),
          covariance,
          limit,
          meeting: inside,
        });
        paste(codes, rounded.codes, window);
        scales.set(rounded.scales, firstRow);
      }
    }
  }
  return { codes, scales };
}

/** Inputs whose covariances are found in one call: 4 MB of samples. */
const MOST_TOGETHER = 4096;

async function roundWithScales(input: NearestPlaneInput): Promise<RoundedLayer> {
  return { codes: await roundToNearestPlane(input), scales: input.scales };
}

/**
 * Pulls the covariance towards its diagonal: what few samples say about pairs of inputs is partly
 * chance, and a matrix of fewer samples than inputs has no inverse (Ledoit and Wolf 2004). Both
 * numbers measured on a MobileNetV2: 30.2 dB of logits against 29.4 with the second alone.
 */
function shrink(covariance: Float64Array, size: number, sampleCount: number): void {
  let total = 0;
  for (let k = 0; k < size; k += 1) total += covariance[k * size + k]!; // [size, size]
  const added = DAMPING * (total / size) + SMALLEST_VARIANCE;
  const kept = sampleCount / (sampleCount + SHRINKAGE * size);
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j < size; j += 1) {
      covariance[i * size + j]! *= i === j ? 1 : kept;
    }
    covariance[i * size + i]! += added;
  }
}

const SHRINKAGE = 0.1;
/** Of the mean variance (GPTQ's "percdamp"). */
const DAMPING = 0.01;
/** Of codes, whose variance is 0 or more than this; keeps an input that never changes invertible. */
const SMALLEST_VARIANCE = 1e-9;

interface Window {
  readonly rowCount: number;
  readonly size: number;
  readonly firstRow: number;
  readonly first: number;
  readonly block: number;
}

/** Columns [first, first + block) of `rowCount` rows. */
function cut(rows: Float32Array, window: Window): Float32Array {
  const { rowCount, size, firstRow, first, block } = window;
  const result = new Float32Array(rowCount * block);
  for (let row = 0; row < rowCount; row += 1) {
    const start = (firstRow + row) * size + first;
    result.set(rows.subarray(start, start + block), row * block);
  }
  return result;
}

function paste(codes: Int8Array, rounded: Int8Array, window: Window): void {
  const { rowCount, size, firstRow, first, block } = window;
  for (let row = 0; row < rowCount; row += 1) {
    codes.set(rounded.subarray(row * block, (row + 1) * block), (firstRow + row) * size + first);
  }
}
