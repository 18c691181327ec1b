import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Collects garbage now. Weights and activations lie outside V8's heap, which hardly sees them: a
 * ResNet-50 that nothing refers to any more keeps its 100 MB until something else fills the heap.
 * Takes some 10 ms.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void; // what the flag promises
  collect();
}

/** Collects garbage where V8's heap holds more than this: of what is old it may let 50 MB gather. */
export function collectGarbageAbove(heapBytes: number): void {
  if (process.memoryUsage().heapUsed > heapBytes) collectGarbage();
}

/**
 * A function to call now and then in long work: collects once so much more lies outside V8's heap than
 * after the last collection.
 */
export function garbageCollector(mostGrowthBytes: number): () => void {
  let before = process.memoryUsage().arrayBuffers;
  return () => {
    if (process.memoryUsage().arrayBuffers - before < mostGrowthBytes) return;
    collectGarbage();
    before = process.memoryUsage().arrayBuffers;
  };
}
