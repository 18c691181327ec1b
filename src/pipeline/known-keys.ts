import { z } from 'zod';
import { ownValue } from '../diagnostics/own-value.ts';

/** Keys a schema knows at `path`, for "did you mean"; empty where any key goes. */
export function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const keys = schemasAt(schema, path).flatMap((each) =>
    each instanceof z.ZodObject ? Object.keys(each.shape) : [],
  );
  return [...new Set(keys)];
}

/** Whether only a whole number fits at `path`: zod calls it a number when it gets a text. */
export function isWholeNumber(schema: z.ZodType, path: readonly PropertyKey[]): boolean {
  const schemas = schemasAt(schema, path);
  return schemas.length > 0 && schemas.every((each) => isInt(each));
}

function isInt(schema: z.ZodType): boolean {
  return schema instanceof z.ZodNumber && (schema.format ?? '').includes('int');
}

function schemasAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType[] {
  let schemas = unwrap(schema);
  for (const step of path) {
    schemas = schemas.flatMap((each) => descend(each, step));
  }
  return schemas;
}

/** The alternatives a schema stands for, wrappers (optional, default, …) taken off. */
function unwrap(schema: unknown): z.ZodType[] {
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(unwrap);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodExactOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
  ) {
    return unwrap(schema.unwrap());
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.in);
  return schema instanceof z.ZodType ? [schema] : [];
}

function descend(schema: z.ZodType, step: PropertyKey): z.ZodType[] {
  if (schema instanceof z.ZodObject) {
    const own = ownValue(schema.shape as Record<string, unknown>, String(step));
    return own === undefined ? [] : unwrap(own);
  }
  if (schema instanceof z.ZodRecord) return unwrap(schema.valueType);
  if (schema instanceof z.ZodArray) return unwrap(schema.element);
  if (schema instanceof z.ZodTuple && typeof step === 'number') {
    return unwrap(schema.def.items[step]);
  }
  return [];
}
