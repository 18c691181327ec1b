import { InterruptedError } from '../diagnostics/errors.ts';

export interface OrderedWork<Item, Result> {
  readonly items: readonly Item[];
  /** Most items started and not yet consumed: what bounds the memory. */
  readonly inFlight: number;
  readonly signal: AbortSignal;
  process(item: Item): Promise<Result>;
  /** Called with every result in the order of the items, one call at a time. */
  consume(result: Result, index: number): Promise<void> | void;
}

/**
 * Processes items side by side and hands their results on in order, so that what is made of them does
 * not depend on which was done first. The first failure ends it; work under way is waited for.
 * @throws InterruptedError when the signal aborts
 */
export async function runInOrder<Item, Result>(work: OrderedWork<Item, Result>): Promise<void> {
  const { items, inFlight, signal } = work;
  const started: Promise<Result>[] = [];
  let next = 0;
  try {
    for (let index = 0; index < items.length; index += 1) {
      while (next < items.length && started.length < inFlight) {
        const promise = work.process(items[next]!); // next < length
        // Its failure is reported when its turn comes; until then it must not count as unhandled.
        void promise.catch(() => undefined);
        started.push(promise);
        next += 1;
      }
      const result = await started[0]!; // at least item `index` is started and not consumed
      if (signal.aborted) throw new InterruptedError();
      await work.consume(result, index);
      void started.shift();
    }
  } catch (error) {
    await Promise.allSettled(started);
    throw signal.aborted ? new InterruptedError() : error;
  }
  if (signal.aborted) throw new InterruptedError();
}
