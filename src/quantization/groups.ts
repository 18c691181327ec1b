/** Sets of the numbers below `count` that grow together (union-find). */
export function createGroups(count: number) {
  const parents = new Int32Array(count);
  for (let member = 0; member < count; member += 1) parents[member] = member;
  const rootOf = (member: number): number => {
    let root = member;
    while (parents[root] !== root) root = parents[root]!; // below count
    for (let next = member; next !== root;) {
      const parent = parents[next]!; // likewise
      parents[next] = root;
      next = parent;
    }
    return root;
  };
  const join = ([first = 0, ...others]: readonly number[]): void => {
    for (const other of others) parents[rootOf(other)] = rootOf(first);
  };
  return { rootOf, join };
}
