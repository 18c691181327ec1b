/**
 * The value a record itself has under a name. Names are the user's: plain `record[name]` finds what every
 * object inherits for `constructor` and the like.
 */
export function ownValue<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
