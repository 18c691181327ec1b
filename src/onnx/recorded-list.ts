import type { OnnxModel } from './model.ts';

/** The JSON list that the model's metadata hold under a key; null where there is none. */
export function recordedList({ metadataProps }: OnnxModel, key: string): unknown[] | null {
  const text = metadataProps.find((entry) => entry.key === key)?.value;
  if (text === undefined) return null;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : null;
  } catch {
    return null; // metadata of another program under our name
  }
}
