/** The process is one, and a module may end it, or keep it from going on, while it is loaded. */
const loading = new Set<string>();

/** Modules of the user's own that are being loaded now. */
export function kindsBeingLoaded(): readonly string[] {
  return [...loading];
}

/** Calls `load`; until it settles the module counts as being loaded. */
export async function whileLoadingKind<T>(modulePath: string, load: () => Promise<T>): Promise<T> {
  loading.add(modulePath);
  try {
    return await load();
  } finally {
    loading.delete(modulePath);
  }
}
