/**
 * Gives a signal to `listener` alone. The others go after it has come: with the last of them Node closes what
 * the kernel's signal wakes, and one that arrived while modules were loading, but was not told yet, would
 * be lost.
 */
export function takeOverSignal(name: NodeJS.Signals, listener: () => void): void {
  const earlier = process.listeners(name);
  process.on(name, listener);
  for (const each of earlier) process.off(name, each);
}
