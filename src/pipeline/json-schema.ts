import { z } from 'zod';
import { ARTIFACT_KINDS } from '../stage/artifact.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';
import { OWN_KIND_PATTERN, TEMPLATE_PATTERN, pipelineFileSchema } from './schema.ts';

/** JSON Schema as plain data. */
export type JsonSchema = Record<string, unknown>;

const TEMPLATE: JsonSchema = { type: 'string', pattern: TEMPLATE_PATTERN.source };

/**
 * JSON Schema of a whole pipeline with the parameters of every stage kind: what editors complete from
 * and show on hover. Draft 7, the newest that yaml-language-server handles in full. It is a little
 * wider than the loader, never narrower: a `${…}` fits anywhere, names are not looked up.
 */
export function pipelineJsonSchema(registry: ReadonlyMap<string, AnyStageDefinition>): JsonSchema {
  const file = toJsonSchema(pipelineFileSchema);
  const properties = asSchema(file['properties']);
  const stages = asSchema(properties['stages']);
  const definitions = [...registry.values()];
  return {
    ...file,
    title: 'drq pipeline',
    properties: {
      ...properties,
      stages: { ...stages, additionalProperties: stageSchema(stages, definitions) },
    },
  };
}

/** Schema of what a pipeline may write for a stage kind's parameters. */
export function parametersJsonSchema(definition: AnyStageDefinition): JsonSchema {
  return toJsonSchema(definition.parameters as z.ZodType);
}

function toJsonSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' });
}

function stageSchema(stages: JsonSchema, definitions: readonly AnyStageDefinition[]): JsonSchema {
  const stage = asSchema(stages['additionalProperties']);
  const properties = asSchema(stage['properties']);
  const kind = asSchema(properties['kind']);
  return {
    ...stage,
    properties: {
      ...properties,
      kind: {
        description: kind['description'],
        anyOf: [
          ...definitions.map((each) => ({ const: each.kind, description: each.description })),
          {
            type: 'string',
            pattern: OWN_KIND_PATTERN.source,
            description: 'A stage kind of your own: ./NAME.js, relative to the pipeline.',
          },
        ],
      },
    },
    allOf: definitions.map((definition) => ({
      if: { properties: { kind: { const: definition.kind } }, required: ['kind'] },
      then: kindSchema(definition, properties),
    })),
  };
}

function kindSchema(definition: AnyStageDefinition, properties: JsonSchema): JsonSchema {
  // The dialect is said once, at the top.
  const parameters = parametersJsonSchema(definition);
  delete parameters['$schema'];
  const required = parameters['required'];
  return {
    properties: {
      parameters: {
        ...withTemplatesInside(parameters),
        description: `Parameters of ${definition.kind}. ${definition.description}`,
      },
      inputs: inputsSchema(
        definition,
        asSchema(asSchema(properties['inputs'])['additionalProperties']),
      ),
      ...(definition.outputs === 'declared-by-pipeline' ? {} : { outputs: false }),
    },
    required: [
      ...(Array.isArray(required) && required.length > 0 ? ['parameters'] : []),
      ...(needsInputs(definition) ? ['inputs'] : []),
    ],
  };
}

function inputsSchema(definition: AnyStageDefinition, value: JsonSchema): JsonSchema {
  const { inputs } = definition;
  if (inputs === 'declared-by-pipeline') return { type: 'object' };
  const entries = Object.entries(inputs);
  const required = entries.filter(([, each]) => each.optional !== true).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(
      entries.map(([name, { kinds, description, optional }]) => [
        name,
        { ...value, description: `${description} ${inputNote(kinds, optional === true)}` },
      ]),
    ),
    additionalProperties: false,
    ...(required.length > 0 ? { required } : {}),
  };
}

function needsInputs({ inputs }: AnyStageDefinition): boolean {
  return (
    inputs !== 'declared-by-pipeline' &&
    Object.values(inputs).some(({ optional }) => optional !== true)
  );
}

function inputNote(kinds: readonly (keyof typeof ARTIFACT_KINDS)[], isOptional: boolean): string {
  return `(${kinds.join(' or ')}${isOptional ? ', optional' : ''})`;
}

/** The schema with a `${…}` accepted in place of every value inside it, at any depth. */
function withTemplatesInside(schema: JsonSchema): JsonSchema {
  const result: JsonSchema = { ...schema };
  for (const keyword of ['properties', 'definitions', '$defs']) {
    if (result[keyword] === undefined) continue;
    result[keyword] = Object.fromEntries(
      Object.entries(asSchema(result[keyword])).map(([name, inner]) => [
        name,
        orTemplate(asSchema(inner)),
      ]),
    );
  }
  for (const keyword of ['additionalProperties', 'items']) {
    const inner = result[keyword];
    if (Array.isArray(inner)) result[keyword] = inner.map((each) => orTemplate(asSchema(each)));
    else if (typeof inner === 'object' && inner !== null) {
      result[keyword] = orTemplate(asSchema(inner));
    }
  }
  for (const keyword of ['anyOf', 'oneOf', 'allOf']) {
    const inner = result[keyword];
    if (!Array.isArray(inner)) continue;
    const branches = inner.map((each) => withTemplatesInside(asSchema(each)));
    // With a reference in place of its discriminator, several branches of a "oneOf" may fit.
    if (keyword === 'oneOf') {
      delete result['oneOf'];
      result['anyOf'] = branches;
    } else result[keyword] = branches;
  }
  return result;
}

/** Description and default stay outside, where editors look for them. */
function orTemplate(schema: JsonSchema): JsonSchema {
  const { description, default: preset, ...rest } = schema;
  return {
    ...(description === undefined ? {} : { description }),
    ...(preset === undefined ? {} : { default: preset }),
    anyOf: [withTemplatesInside(rest), TEMPLATE],
  };
}

/** What zod writes at these places is always an object. */
function asSchema(value: unknown): JsonSchema {
  return value as JsonSchema;
}
