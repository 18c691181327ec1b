import { InternalError } from '../diagnostics/errors.ts';

/**
 * The one serialization that is hashed: no white space, keys in code-unit order.
 * `JSON.stringify` cannot be used: it puts integer-like keys first and turns NaN into null.
 * @throws InternalError for what JSON cannot say: NaN, Infinity, undefined, functions, class instances.
 */
export function canonicalJson(value: unknown): string {
  return serialize(value, '');
}

function serialize(value: unknown, place: string): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refused(String(value), place);
    return JSON.stringify(value); // -0 becomes 0: the two are one number to every stage.
  }
  if (Array.isArray(value)) {
    return `[${value.map((item, index) => serialize(item, `${place}[${index}]`)).join(',')}]`;
  }
  if (typeof value === 'object' && isPlain(value)) {
    const members = Object.entries(value)
      .sort(([a], [b]) => compareCodeUnits(a, b))
      .map(([key, item]) => `${JSON.stringify(key)}:${serialize(item, `${place}.${key}`)}`);
    return `{${members.join(',')}}`;
  }
  throw refused(typeof value === 'object' ? value.constructor.name : typeof value, place);
}

/** Order of UTF-16 code units: the same on every machine, unlike `localeCompare`. */
export function compareCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refused(what: string, place: string): InternalError {
  return new InternalError(`${what} at "${place || '.'}" cannot be part of a hashed document`);
}
