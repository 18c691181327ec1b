import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { loadValid, problemsOf } from '../../support/sample-kinds.ts';

const TEXT = `
name: own
stages:
  blur: { kind: ./blur.js, parameters: { radius: 2 } }
  data: { kind: program, inputs: { image: blur }, parameters: { program: x } }
`;

const zodUrl = pathToFileURL(join(packageRoot(), 'node_modules/zod/index.js')).href;

const MODULE = `
import { z } from ${JSON.stringify(zodUrl)};
export default {
  kind: 'blur', version: 1, description: 'Blurs.',
  parameters: z.strictObject({ radius: z.int().min(1).describe('Pixels.'), edge: z.enum(['clamp', 'wrap']).default('clamp').describe('Outside.') }),
  inputs: {}, outputs: { image: { kind: 'file', description: 'Blurred.' } },
  runtimes: [], cache: 'content', scheduling: 'parallel', defaultCpuCount: 1, isolation: 'in-process',
  async run() {},
};
`;

test('a module beside the pipeline is a stage kind, and its source has a digest', async () => {
  const pipeline = await loadValid(TEXT, {
    files: { 'blur.js': MODULE, 'package.json': '{"type":"module"}' },
  });
  const [blur] = pipeline.graph.nodes.values();
  assert.deepEqual(blur?.parameters, { radius: 2, edge: 'clamp' });
  assert.deepEqual(blur.ownKind, {
    modulePath: join(pipeline.projectRoot, 'blur.js'),
    sourceDigest: createHash('sha256').update(MODULE).digest('hex'),
  });
});

test('a module that is edited while it is loaded is not taken for what it was before', async () => {
  const editing = `import { appendFileSync } from 'node:fs';
appendFileSync(new URL(import.meta.url), '//');
${MODULE}`;
  assert.match(
    await problemWith(editing),
    /PROJECT\/blur\.js changed while it was being loaded\n(.|\n)*hint: run again\n/,
  );
});

async function problemWith(module: string | undefined, text = TEXT): Promise<string> {
  const files = {
    'package.json': '{"type":"module"}',
    ...(module === undefined ? {} : { 'blur.js': module }),
  };
  return problemsOf(text, { files });
}

test('a module that is no stage kind is refused with the reason, and nothing else is said', async () => {
  assert.equal(
    await problemWith(undefined),
    `p.yaml:4:17 error pipeline/invalid-kind
  stage "blur": there is no file PROJECT/blur.js
  4 |   blur: { kind: ./blur.js, parameters: { radius: 2 } }
    |                 ~~~~~~~~~
`,
  );
  assert.match(await problemWith('export const blur = 1;'), /it has no default export/);
  assert.match(
    await problemWith('\nthrow new Error("oh");'),
    /it cannot be loaded: Error: oh \(blur\.js:2\)/,
  );
  assert.match(
    await problemWith('export default (;'),
    /it cannot be loaded: SyntaxError: Unexpected token ';' \(`node --check blur\.js` shows where\)/,
  );
  assert.match(await problemWith('export default 3;'), /must be an object made by defineStage/);
  assert.match(
    await problemWith(
      MODULE.replace('version: 1,', "version: 'one',").replace('async run() {},', ''),
    ),
    /not a stage kind: "version" must be a number; "run" must be a function/,
  );
});

test('a module that Node takes for CommonJS is refused with the way out', async () => {
  const files = { 'package.json': '{"type":"commonjs"}', 'blur.js': MODULE };
  assert.match(
    await problemsOf(TEXT, { files }),
    /it cannot be loaded: SyntaxError: Cannot use import statement outside a module .*\n(.*\n)* {2}hint: name it \.mjs, or write "type": "module" into package\.json\n/,
  );
});

test('a module with another ending is told which endings there are, not the built-in kinds', async () => {
  assert.equal(
    await problemWith(MODULE, TEXT.replace('./blur.js', './blur.ts')),
    `p.yaml:4:17 error pipeline/invalid-kind
  stage "blur": a module of your own must be .mjs or .js, received "./blur.ts"
  4 |   blur: { kind: ./blur.ts, parameters: { radius: 2 } }
    |                 ~~~~~~~~~
  hint: compile TypeScript first, and name the .js file that comes out
`,
  );
  assert.match(
    await problemWith(MODULE, TEXT.replace('./blur.js', '../own/blur')),
    /must be \.mjs or \.js, received "\.\.\/own\/blur"\n(.|\n)*hint: name the module with its ending/,
  );
});

test('all that the definition type offers is taken', async () => {
  const whole = MODULE.replace(
    'async run() {},',
    `abortGraceMs: 1000, inputsNeededBy: () => [], environment: () => ({}), nodeFlags: ['--expose-gc'],
     async run() {},`,
  );
  const pipeline = await loadValid(TEXT, {
    files: { 'blur.js': whole, 'package.json': '{"type":"module"}' },
  });
  const [blur] = pipeline.graph.nodes.values();
  assert.deepEqual(blur?.definition.nodeFlags, ['--expose-gc']);
  assert.equal(blur.definition.abortGraceMs, 1000);
});

test("its own schema's issues are shown like any other's", async () => {
  assert.equal(
    await problemWith(MODULE, TEXT.replace('radius: 2', 'radius: 0')),
    `p.yaml:4:50 error pipeline/invalid-value
  stage "blur": parameter "radius" must be at least 1, received 0
  4 |   blur: { kind: ./blur.js, parameters: { radius: 0 } }
    |                                                  ~
`,
  );
});
