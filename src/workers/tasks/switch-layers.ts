import { noiseOf } from '../../metrics/sqnr.ts';
import { winnerOf, type ScoreKind } from '../../quantization/class-scores.ts';
import { rowDivergence } from '../../quantization/fidelity.ts';
import { floatsOf } from '../float-output.ts';
import { eachBatch, type ImageRun } from '../run-image-batches.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

/** A model made by `switchedModel`: its input `switchName` says which layer runs quantized. */
export interface SwitchLayersRequest {
  readonly run: ImageRun;
  readonly switchName: string;
  readonly outputName: string;
  /** Numbers from 0 on that the switch takes: of layers, and of their inputs where those are asked for. */
  readonly switchCount: number;
  readonly scores: ScoreKind;
}

/**
 * Sums over the images of what one layer does to the network's output; Infinity or NaN where it makes
 * scores that are not finite.
 */
export interface LayerEffectSums {
  readonly signal: number;
  readonly noise: number;
  readonly klDivergence: number;
  readonly agreementCount: number;
  /** Images that the float scores allow to measure signal, noise and divergence on. */
  readonly measuredCount: number;
}

/** One entry a number of the switch. */
export type SwitchLayersResponse = TaskResult<readonly LayerEffectSums[]>;

/** No layer has this number: all run in float, reading floats. */
const NONE = -1n;

/** For every image: once in float, then once for each layer (or input) with that alone quantized. */
export function run(request: SwitchLayersRequest): Promise<SwitchLayersResponse> {
  return settleTask(async () => {
    const { switchName, outputName, switchCount, scores } = request;
    const sums = Array.from({ length: switchCount }, () => ({
      signal: 0,
      noise: 0,
      klDivergence: 0,
      agreementCount: 0,
      measuredCount: 0,
    }));
    await eachBatch(request.run, async (session, feeds, imageCount) => {
      const outputWith = async (number: bigint): Promise<Float32Array> => {
        const active = { data: BigInt64Array.of(number), dims: [] };
        return floatsOf(await session.run({ ...feeds, [switchName]: active }), outputName);
      };
      const reference = await outputWith(NONE);
      const width = reference.length / imageCount;
      for (const [number, sum] of sums.entries()) {
        const actual = await outputWith(BigInt(number));
        for (let start = 0; start < reference.length; start += width) {
          const row = reference.subarray(start, start + width);
          const other = actual.subarray(start, start + width);
          if (winnerOf(row, scores) === winnerOf(other, scores)) sum.agreementCount += 1;
          const effect = noiseOf(row, other);
          if (effect === null) continue;
          sum.signal += effect.signal;
          sum.noise += effect.noise;
          sum.klDivergence += rowDivergence(row, other, scores);
          sum.measuredCount += 1;
        }
      }
    });
    return sums;
  });
}
