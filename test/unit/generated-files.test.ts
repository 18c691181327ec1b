import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { generatedFiles } from '../support/generated-files.ts';

test('the JSON Schema and the reference in the README are current (npm run generate)', async () => {
  for (const [path, content] of await generatedFiles()) {
    const present = await readFile(join(packageRoot(), path), 'utf8');
    assert.ok(present === content, `${path} is stale: run \`npm run generate\``);
  }
});
