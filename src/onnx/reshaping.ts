/** Operators that give a tensor other dimensions and leave its values in their order. */
export const RESHAPING: ReadonlySet<string> = new Set([
  'Flatten',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
]);
