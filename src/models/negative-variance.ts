import type { ParameterSpec } from './network.ts';

/**
 * What is wrong with `stored`, as a predicate; null: nothing. A running variance below 0 gives no number in
 * validation, after a whole epoch of training that does not read it.
 */
export function negativeVariance(
  { role }: Pick<ParameterSpec, 'role'>,
  stored: Float32Array,
): string | null {
  if (role !== 'variance') return null;
  const index = stored.findIndex((value) => value < 0);
  if (index === -1) return null;
  return `holds ${String(stored[index])} at element ${index}, and no variance is negative`;
}
