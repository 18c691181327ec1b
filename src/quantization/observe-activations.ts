import { graphOf, type OnnxModel } from '../onnx/model.ts';
import type { Observed, ObserveRequest } from '../workers/tasks/observe-tensors.ts';
import { derivationsOf, withDerived } from './derived-tensors.ts';
import { markGraph } from './mark-graph.ts';
import { mergeHistogramsInto } from './observers/histogram.ts';
import { mergeMinMax } from './observers/min-max.ts';
import type { ObserverState } from './observers/observer.ts';
import { observationModel } from './observation-model.ts';
import { runOverImages } from './run-over-images.ts';
import { withScratchModel } from './scratch-model.ts';
import type { ImagePass } from './image-pass.ts';

export interface ObserveOptions extends ImagePass {
  /** Prepared by `prepareModel`. */
  readonly model: OnnxModel;
  readonly batchSize: number;
}

export interface ObservedActivations {
  /** What was seen of each tensor that may be quantized, in graph order. */
  readonly kept: ReadonlyMap<string, ObserverState>;
  /** The same on the held-out images; empty where there are none. */
  readonly heldOut: ReadonlyMap<string, ObserverState>;
  /** The model's first output for each held-out image. */
  readonly heldOutRows: readonly Float32Array[];
}

const NOTHING: ObservedActivations = { kept: new Map(), heldOut: new Map(), heldOutRows: [] };

/** A chunk's histograms are megabytes to hand over and to merge; ranges are not, and small chunks end together. */
const CHUNK_SIZE = { histogram: 16, 'min-max': 4 } as const;

/**
 * Shows every activation that may be quantized to an observer, in one pass over the images, unless it
 * follows from others (see `derivationsOf`); values are dropped once seen. Also of tensors that share
 * another's parameters, because they need their own once a node before them is excluded. The result
 * does not depend on the number of workers. The graph runs optimised: its outputs stay what they are,
 * only operators between them are fused.
 */
export async function observeActivations(
  options: ObserveOptions & {
    readonly observer: 'min-max' | 'histogram';
    /** Positions in the split; absent: none. */
    readonly heldOut?: ReadonlySet<number>;
  },
): Promise<ObservedActivations> {
  const { model, images, observer, heldOut = new Set() } = options;
  const marked = markGraph(graphOf(model)).tensors;
  const derivations = derivationsOf(graphOf(model), new Set(marked.keys()));
  const looked = new Map([...marked].filter(([tensor]) => !derivations.has(tensor)));
  const tensors = [...looked.keys()];
  const merge = observer === 'min-max' ? mergeMinMax : mergeHistogramsInto;
  const logits = graphOf(model).output[0]?.name;
  const collected = heldOut.size === 0 || logits === undefined ? {} : { collected: logits };
  const {
    model: observing,
    observed,
    batchSize,
  } = observationModel(model, looked, {
    samples: observer === 'min-max' ? 'none' : 'spread',
    kept: Object.values(collected),
    batchSize: options.batchSize,
  });
  if (graphOf(observing).output.length === 0) return NOTHING;
  let kept: readonly ObserverState[] | null = null;
  let held: readonly ObserverState[] | null = null;
  const heldOutRows: Float32Array[] = [];
  const merged = (
    before: readonly ObserverState[] | null,
    next: readonly ObserverState[] | null,
  ): readonly ObserverState[] | null =>
    // Both lists follow `tensors`.
    before === null || next === null
      ? (next ?? before)
      : before.map((state, i) => merge(state, next[i]!));
  const scratch = {
    ...options,
    model: observing,
    source: model,
    name: 'observed',
    graphOptimization: 'all' as const,
  };
  await withScratchModel(scratch, async (file, threads) => {
    await runOverImages<ObserveRequest, Observed>({
      ...options,
      threads,
      task: 'observe-tensors',
      run: { ...file, images, batchSize },
      chunkSize: CHUNK_SIZE[observer],
      request: (run) => ({ run, observed, heldOut, ...collected }),
      onChunk: (chunk) => {
        kept = merged(kept, chunk.kept);
        held = merged(held, chunk.heldOut);
        heldOutRows.push(...chunk.rows);
      },
    });
  });
  const byTensor = (states: readonly ObserverState[] | null): Map<string, ObserverState> =>
    withDerived(
      new Map((states ?? []).map((state, i) => [tensors[i]!, state])), // one state a tensor
      derivations,
      marked.keys(),
    );
  return { kept: byTensor(kept), heldOut: byTensor(held), heldOutRows };
}
