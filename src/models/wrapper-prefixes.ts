/** What PyTorch puts before every name of a wrapped model: DataParallel and its kin, torch.compile. */
const WRAPPER_PREFIXES = ['module.', '_orig_mod.'];

/** The same under the names of the model itself, where every name has the wrappers'. */
export function withoutWrappers<T>(tensors: ReadonlyMap<string, T>): ReadonlyMap<string, T> {
  const prefix = WRAPPER_PREFIXES.find((candidate) =>
    [...tensors.keys()].every((name) => name.startsWith(candidate)),
  );
  if (prefix === undefined || tensors.size === 0) return tensors;
  // A model may be wrapped twice.
  return withoutWrappers(
    new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor])),
  );
}
