import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { ARTIFACT_KINDS } from '../../src/stage/artifact.ts';
import type { StageDefinition } from '../../src/stage/definition.ts';
import { registry } from '../../stages/registry.ts';

/** AnyStageDefinition hides the schema behind `any`; here only what every schema has is used. */
const definitions = [...registry.values()] as readonly StageDefinition[];

test('kinds are unique, readable and found under their own name', () => {
  assert.ok(definitions.length > 0);
  for (const [kind, definition] of registry) {
    assert.equal(definition.kind, kind);
    assert.match(kind, /^[a-z]+(-[a-z]+)*$/);
  }
  assert.equal(new Set(definitions.map(({ kind }) => kind)).size, definitions.length);
});

for (const definition of definitions) {
  const { kind, parameters } = definition;

  test(`${kind}: version and description`, () => {
    assert.ok(Number.isInteger(definition.version) && definition.version >= 1);
    assert.match(definition.description, /^[A-Z].{10,}\.$/s, 'one sentence');
  });

  test(`${kind}: every parameter is described, wherever it is nested`, () => {
    const missing = undescribed(
      z.toJSONSchema(parameters, { io: 'input', unrepresentable: 'any' }),
    );
    assert.deepEqual(missing, []);
  });

  test(`${kind}: an unknown parameter is refused by name`, () => {
    const outcome = parameters.safeParse({ notAParameterOfAnyStage: 1 });
    const issue = outcome.error?.issues.find(({ code }) => code === 'unrecognized_keys');
    assert.ok(issue?.code === 'unrecognized_keys');
    assert.deepEqual(issue.keys, ['notAParameterOfAnyStage']);
  });

  test(`${kind}: parameters have defaults, or it is said which are required`, () => {
    const outcome = parameters.safeParse({});
    if (outcome.success) {
      // Filled in once, defaults do not change: the key is computed from them.
      assert.deepEqual(parameters.parse(outcome.data), outcome.data);
      assert.deepEqual(JSON.parse(JSON.stringify(outcome.data)), outcome.data, 'plain JSON');
      return;
    }
    const required = z.toJSONSchema(parameters, { io: 'input', unrepresentable: 'any' }).required;
    for (const { path, message } of outcome.error.issues) {
      assert.ok(message.length > 0);
      const name = String(path[0] ?? '');
      assert.ok(name === '' || required?.includes(name), `"${name}" fails but is not required`);
    }
  });

  test(`${kind}: inputs and outputs are declared with kinds and descriptions`, () => {
    const { inputs, outputs } = definition;
    if (inputs !== 'declared-by-pipeline') {
      for (const [name, input] of Object.entries(inputs)) {
        assert.match(name, /^[a-z][A-Za-z0-9]*$/);
        assert.ok(input.kinds.length > 0 && input.kinds.every((k) => k in ARTIFACT_KINDS), name);
        assert.match(input.description, /\S.{5,}/, `input ${name}`);
      }
    }
    if (outputs !== 'declared-by-pipeline') {
      assert.ok(Object.keys(outputs).length > 0);
      for (const [name, output] of Object.entries(outputs)) {
        assert.match(name, /^[a-z][A-Za-z0-9]*$/);
        assert.ok(output.kind in ARTIFACT_KINDS, name);
        assert.match(output.description, /\S.{5,}/, `output ${name}`);
      }
    }
  });

  test(`${kind}: its folder holds the three files, and the README its six lines`, () => {
    const folder = join(packageRoot(), 'stages', kind);
    for (const file of ['stage.ts', 'parameters.ts', 'README.md']) {
      assert.ok(existsSync(join(folder, file)), `stages/${kind}/${file} is missing`);
    }
    const lines = readFileSync(join(folder, 'README.md'), 'utf8').trim().split('\n');
    const subjects = ['Purpose', 'Inputs', 'Outputs', 'Cost', 'Caveats', 'Reference'];
    // `- **Purpose**: …`, `Purpose: …` and a heading above are all fine; the order is fixed.
    const found = lines.flatMap((line) => subjects.filter((s) => isAbout(line, s)));
    assert.deepEqual(found, subjects, `stages/${kind}/README.md`);
  });

  test(`${kind}: measurements run alone, and only they belong to a machine`, () => {
    if (definition.cache === 'per-machine') assert.equal(definition.scheduling, 'alone');
    const { defaultCpuCount } = definition;
    assert.ok(defaultCpuCount === 'all' || defaultCpuCount >= 1);
    if (definition.environment !== undefined) assert.equal(definition.isolation, 'process');
  });
}

function isAbout(line: string, subject: string): boolean {
  const start = line.replaceAll('*', '').replace(/^[-#\s]+/, '');
  return start.toLowerCase().startsWith(`${subject.toLowerCase()}:`);
}

interface SchemaNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly items?: unknown;
  readonly anyOf?: readonly unknown[];
  readonly oneOf?: readonly unknown[];
}

/** Paths of properties without a description, of a JSON schema made by zod. */
function undescribed(schema: unknown, path = ''): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const node = schema as SchemaNode; // JSON Schema: every field is optional, and checked below
  const own = Object.entries(node.properties ?? {}).flatMap(([name, property]) => {
    const here = path === '' ? name : `${path}.${name}`;
    const { description, ...others } = property as SchemaNode & { const?: unknown };
    // The tag of a union of objects explains itself by the description of the whole.
    const isTag = others.const !== undefined;
    const isDescribed = isTag || (description !== undefined && description.trim() !== '');
    return [...(isDescribed ? [] : [here]), ...undescribed(property, here)];
  });
  const nested = [node.items, ...(node.anyOf ?? []), ...(node.oneOf ?? [])];
  return [...own, ...nested.flatMap((inner) => undescribed(inner, `${path}[]`))];
}
