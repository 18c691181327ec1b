import { InterruptedError } from '../diagnostics/errors.ts';

/**
 * The items in turn, awaited as `for await` does; an abort ends it at once, even while an item is waited
 * for, and lets the iterator clean up.
 * @throws InterruptedError
 */
export async function* untilAborted<T>(
  items: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  if (signal === undefined) {
    yield* items as AsyncIterable<T>; // of either kind, in an async generator
    return;
  }
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new InterruptedError());
    signal.addEventListener('abort', onAbort, { once: true });
  });
  aborted.catch(() => undefined); // it may come when nothing is waited for
  const iterator =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let isOver = false;
  try {
    for (;;) {
      if (signal.aborted) throw new InterruptedError();
      const step = await Promise.race([aborted, iterator.next()]);
      if (step.done === true) {
        isOver = true;
        return;
      }
      yield await step.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (!isOver) await closed(iterator, signal);
  }
}

/** One that hangs is not waited for after an abort. */
async function closed(
  iterator: Iterator<unknown> | AsyncIterator<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const closing = Promise.resolve(iterator.return?.());
  closing.catch(() => undefined);
  if (!signal.aborted) await closing;
}
