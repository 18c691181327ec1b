/** What PyTorch puts before every name of a wrapped model: DataParallel and its kin, torch.compile. */
const WRAPPER_PREFIXES = ['module.', '_orig_mod.'];

/**
 * The same under the names of the model itself, where every name has the wrappers'. Single numbers without
 * it are the wrapper's own, as the `n_averaged` of torch.optim.swa_utils.AveragedModel, and are left out.
 */
export function withoutWrappers<T extends { readonly shape: readonly number[] }>(
  tensors: ReadonlyMap<string, T>,
): ReadonlyMap<string, T> {
  const arrays = [...tensors].filter(([, { shape }]) => shape.length > 0);
  const prefix = WRAPPER_PREFIXES.find((candidate) =>
    arrays.every(([name]) => name.startsWith(candidate)),
  );
  if (prefix === undefined || arrays.length === 0) return tensors;
  const wrapped = [...tensors].filter(([name]) => name.startsWith(prefix));
  // A model may be wrapped twice.
  return withoutWrappers(
    new Map(wrapped.map(([name, tensor]) => [name.slice(prefix.length), tensor])),
  );
}
