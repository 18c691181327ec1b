import type { AnyStageDefinition } from '../stage/definition.ts';
import { parametersJsonSchema, type JsonSchema } from './json-schema.ts';

/** Markdown reference of all stage kinds: what each does, reads and writes, and its parameters. */
export function parameterReference(registry: ReadonlyMap<string, AnyStageDefinition>): string {
  return [...registry.values()].map(kindSection).join('\n');
}

function kindSection(definition: AnyStageDefinition): string {
  const lines = [
    `### \`${definition.kind}\``,
    '',
    definition.description,
    '',
    `- Inputs: ${inputsText(definition)}`,
    `- Outputs: ${outputsText(definition)}`,
  ];
  const notes = [
    ...(definition.scheduling === 'alone' ? ['runs alone'] : []),
    ...(definition.cache === 'per-machine' ? ['its result counts for this machine only'] : []),
  ];
  if (notes.length > 0) lines.push(`- Note: ${notes.join('; ')}.`);
  const rows = parameterRows(parametersJsonSchema(definition), '');
  if (rows.length > 0) {
    lines.push('', '| parameter | values | default | what |', '| --- | --- | --- | --- |', ...rows);
  }
  return `${lines.join('\n')}\n`;
}

function inputsText({ inputs }: AnyStageDefinition): string {
  if (inputs === 'declared-by-pipeline') return 'named by the pipeline.';
  const entries = Object.entries(inputs);
  if (entries.length === 0) return 'none.';
  return entries
    .map(([name, { kinds, optional, description }]) => {
      const note = `${kinds.join(' or ')}${optional === true ? ', optional' : ''}`;
      return `\`${name}\` (${note}): ${description}`;
    })
    .join(' ');
}

function outputsText({ outputs }: AnyStageDefinition): string {
  if (outputs === 'declared-by-pipeline') return 'named by the pipeline.';
  return Object.entries(outputs)
    .map(([name, { kind, description }]) => `\`${name}\` (${kind}): ${description}`)
    .join(' ');
}

/** A row for each parameter; those of nested mappings follow as `outer.inner`, of lists as `outer[].inner`. */
function parameterRows(schema: JsonSchema, prefix: string): string[] {
  const required = new Set(schema['required'] as readonly string[] | undefined);
  return Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>).flatMap(
    ([name, field]) => {
      const preset =
        field['default'] !== undefined
          ? code(JSON.stringify(field['default']))
          : required.has(name)
            ? 'required'
            : '—';
      const description = typeof field['description'] === 'string' ? field['description'] : '';
      const cells = [code(`${prefix}${name}`), valuesText(field), preset, description];
      const row = `| ${cells.map(escapeCell).join(' | ')} |`;
      return [row, ...nestedRows(field, `${prefix}${name}`)];
    },
  );
}

function nestedRows(field: JsonSchema, name: string): string[] {
  const items = field['items'];
  const lists = typeof items === 'object' && items !== null ? (items as JsonSchema) : {};
  return [...parameterRows(field, `${name}.`), ...parameterRows(lists, `${name}[].`)];
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'whole number',
  number: 'number',
  boolean: 'true, false',
  object: 'mapping',
  null: 'null',
};

function valuesText(field: JsonSchema): string {
  const options = field['enum'];
  if (Array.isArray(options)) return options.map((each) => code(plain(each))).join(', ');
  if (field['const'] !== undefined) return code(plain(field['const']));
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = field[keyword];
    if (Array.isArray(branches)) {
      return [...new Set((branches as JsonSchema[]).map(valuesText))].join(' or ');
    }
  }
  const type = field['type'];
  if (type === 'array') return listText(field);
  const words = (Array.isArray(type) ? type : [type])
    .map((each) => TYPE_WORDS[String(each)] ?? 'any value')
    .join(' or ');
  return type === 'number' || type === 'integer' ? `${words}${rangeText(field)}` : words;
}

function listText(field: JsonSchema): string {
  const items = field['items'];
  if (Array.isArray(items)) return `list of ${items.length}`;
  return typeof items === 'object' && items !== null
    ? `list of ${valuesText(items as JsonSchema)}`
    : 'list';
}

function rangeText(field: JsonSchema): string {
  const bound = (keyword: string, sign: string): string[] => {
    const value = field[keyword];
    // zod bounds every whole number by what a double holds exactly; that tells a reader nothing.
    if (typeof value !== 'number' || Math.abs(value) === Number.MAX_SAFE_INTEGER) return [];
    return [`${sign} ${value}`];
  };
  const bounds = [
    ...bound('minimum', '≥'),
    ...bound('exclusiveMinimum', '>'),
    ...bound('maximum', '≤'),
    ...bound('exclusiveMaximum', '<'),
    ...bound('multipleOf', 'multiple of'),
  ];
  return bounds.length === 0 ? '' : ` ${bounds.join(', ')}`;
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function code(text: string): string {
  return `\`${text}\``;
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
