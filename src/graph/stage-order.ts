/** Name → names it depends on. Names that are no keys are ignored. */
export type Dependencies = ReadonlyMap<string, ReadonlySet<string>>;

/** One way round each circle, first and last name the same: `['a', 'b', 'a']`. */
export function findCycles(dependencies: Dependencies): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  const open: string[] = [];
  const visit = (name: string): void => {
    if (done.has(name)) return;
    open.push(name);
    for (const dependency of dependencies.get(name) ?? []) {
      const start = open.indexOf(dependency);
      if (start === -1) visit(dependency);
      else cycles.push([...open.slice(start), dependency]);
    }
    open.pop();
    done.add(name);
  };
  for (const name of dependencies.keys()) visit(name);
  return cycles;
}

/**
 * The names, each after all it depends on; among those that are free, the order of the map stands.
 * Names in or behind a circle are left out: break circles first.
 */
export function topologicalOrder(dependencies: Dependencies): string[] {
  const waiting = new Set(dependencies.keys());
  const order: string[] = [];
  for (;;) {
    const next = [...waiting].find((name) =>
      [...(dependencies.get(name) ?? [])].every((dependency) => !waiting.has(dependency)),
    );
    if (next === undefined) return order;
    waiting.delete(next);
    order.push(next);
  }
}
