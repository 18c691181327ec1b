import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../src/runtime/package-root.ts';
import { MAY_IMPORT, violationsOf } from './support/architecture-rules.ts';
import { importLines } from './support/import-lines.ts';

const ROOT = packageRoot();

/** Relative path, with slashes → text, of every source file. */
function sourceFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const top of ['src', 'stages', 'test']) {
    for (const entry of readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })) {
      const path = `${top}/${entry.split(sep).join('/')}`;
      // Fixtures are data, whatever their names end in.
      if (!/\.(ts|js)$/.test(path) || path.startsWith('test/fixtures/')) continue;
      files.set(path, readFileSync(join(ROOT, path), 'utf8'));
    }
  }
  return files;
}

test('every file keeps the rules of the architecture', () => {
  const violations = [...sourceFiles()].flatMap(([path, text]) => violationsOf(path, text));
  assert.deepEqual(violations, []);
});

test('no file imports itself by way of others', () => {
  const graph = new Map<string, string[]>();
  for (const [path, text] of sourceFiles()) {
    const targets = importLines(text)
      .filter(({ specifier, form }) => specifier.startsWith('.') && form === 'value')
      .map(({ specifier }) => posix.join(posix.dirname(path), specifier));
    graph.set(path, targets);
  }
  assert.deepEqual(findCycle(graph), null);
});

test('every folder of src has its line in the import table', () => {
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'cli')
    .map(({ name }) => name);
  assert.deepEqual(
    folders.filter((name) => MAY_IMPORT[name] === undefined),
    [],
  );
});

test('the rules find what they are there to find', () => {
  const cases: readonly (readonly [path: string, text: string, expected: RegExp])[] = [
    ['src/store/a.ts', `import { b } from '../graph/b.ts';`, /src\/store may import only/],
    ['src/onnx/a.ts', `import type { B } from '../stage/b.ts';`, /src\/onnx may import only/],
    ['src/numeric/a.ts', `\nimport {\n  b,\n} from '../data/b.ts';`, /a\.ts:4: imports src\/data/],
    ['src/data/a.ts', `export { b } from '../onnx/b.ts';`, /src\/data may import only/],
    ['src/unknown/a.ts', `import { b } from '../data/b.ts';`, /no line in the import table/],
    ['stages/a/stage.ts', `import { b } from '../b/b.ts';`, /never imports another stage/],
    ['stages/a/stage.ts', `import { b } from '../../src/plan/b.ts';`, /a stage may import only/],
    [
      'src/execute/a.ts',
      `import { b } from '../../stages/a/stage.ts';`,
      /only the composition root/,
    ],
    ['src/plan/a.ts', `import { b } from '../cli/b.ts';`, /nobody imports the composition root/],
    ['src/plan/a.ts', `import { b } from '../../test/support/b.ts';`, /nothing imports a test/],
    [
      'src/plan/a.ts',
      `import { b } from 'drq';\nimport { c } from '../index.ts';`,
      /:2: .*defines/,
    ],
    ['src/graph/a.ts', `import { parse } from 'yaml';`, /'yaml'; only/],
    ['stages/a/stage.ts', `import { Piscina } from 'piscina';`, /'piscina'; only/],
    ['src/models/a.ts', `import * as tf from '@tensorflow/tfjs-node';`, /tfjs-node'; only/],
    ['src/models/a.ts', `import * as ort from 'onnxruntime-node';`, /onnxruntime-node'; only/],
    ['src/data/a.ts', `const b = await import('./b.ts');`, /lazily/],
    ['src/cli/setup/a.js', `import { z } from 'zod';`, /before any package is installed/],
    ['src/data/a.ts', `import { b } from './b';`, /lacks its extension/],
    ['src/data/index.ts', ``, /a barrel/],
    ['src/data/a.ts', `export * from './b.ts';`, /re-exports everything/],
    ['src/data/a.ts', 'x\n'.repeat(401), /401 lines/],
    ['src/data/a.ts', `const a = 1;\nconsole.log(a);`, /a\.ts:2: prints/],
  ];
  for (const [path, text, expected] of cases) {
    const violations = violationsOf(path, text);
    assert.equal(violations.length, 1, `${path}: ${text}: ${violations.join('; ')}`);
    assert.match(violations[0] ?? '', expected);
  }
});

test('the rules let through what is allowed', () => {
  const cases: readonly (readonly [path: string, text: string])[] = [
    ['src/graph/a.ts', `import { b } from '../store/b.ts';\nimport { c } from './c.ts';`],
    ['src/workers/tasks/a.ts', `import { b } from '../../quantization/b.ts';`],
    ['src/quantization/a.ts', `import type { B } from '../workers/tasks/b.ts';`],
    ['src/training/a.ts', `import type { Tensor } from '@tensorflow/tfjs-node';`],
    ['stages/a/stage.ts', `import { b } from '../../src/onnx/b.ts';\nimport { c } from './c.ts';`],
    ['stages/registry.ts', `import { a } from './a/stage.ts';`],
    ['src/cli/main.ts', `import { registry } from '../../stages/registry.ts';`],
    [
      'src/data/a.ts',
      `// console.log(1);\nconst script = \`\nimport x from 'yaml';\nconsole.log(1)\`;`,
    ],
  ];
  for (const [path, text] of cases) assert.deepEqual(violationsOf(path, text), []);
});

/** Files of one cycle in order, or null. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const finished = new Set<string>();
  const visit = (file: string, trail: readonly string[]): string[] | null => {
    const position = trail.indexOf(file);
    if (position >= 0) return [...trail.slice(position), file];
    if (finished.has(file)) return null;
    for (const target of graph.get(file) ?? []) {
      const cycle = visit(target, [...trail, file]);
      if (cycle !== null) return cycle;
    }
    finished.add(file);
    return null;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle !== null) return cycle;
  }
  return null;
}
