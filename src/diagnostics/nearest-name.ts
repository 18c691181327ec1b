import { distance } from 'fastest-levenshtein';

/**
 * The candidate a person most likely meant, or undefined when none is near: at most two fifths of the
 * letters differ (capitals aside; a swap counts twice), or one is a beginning of at least four letters of the other.
 */
export function nearestName(received: string, candidates: Iterable<string>): string | undefined {
  const wanted = received.toLowerCase();
  let best: { name: string; cost: number } | undefined;
  for (const name of candidates) {
    const candidate = name.toLowerCase();
    const cost = Math.min(
      distance(wanted, candidate),
      isBeginning(wanted, candidate) ? 1 : Infinity,
    );
    const limit = Math.max(1, Math.floor(0.4 * Math.max(wanted.length, candidate.length)));
    if (cost <= limit && (best === undefined || cost < best.cost)) best = { name, cost };
  }
  return best?.name;
}

/** The whole hint, ready for `Diagnostic.hint`: the nearest name, else all names when they are few. */
export function nameHint(received: string, candidates: Iterable<string>): string | undefined {
  const names = [...candidates];
  const nearest = nearestName(received, names);
  if (nearest !== undefined) return `did you mean "${nearest}"?`;
  const few = 24;
  return names.length > 0 && names.length <= few ? `known: ${names.join(', ')}` : undefined;
}

function isBeginning(a: string, b: string): boolean {
  return Math.min(a.length, b.length) >= 4 && (a.startsWith(b) || b.startsWith(a));
}
