import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRootOf } from '../../../src/pipeline/project-root.ts';

test('the project root is the nearest folder above with a package.json or .git', async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'drq-root-')));
  try {
    await mkdir(join(folder, 'a/b/c'), { recursive: true });
    const file = join(folder, 'a/b/c/p.yaml');
    assert.equal(projectRootOf(file), join(folder, 'a/b/c'));
    await writeFile(join(folder, 'package.json'), '{}');
    assert.equal(projectRootOf(file), folder);
    // A linked work tree has a file of that name.
    await writeFile(join(folder, 'a/.git'), 'gitdir: elsewhere');
    assert.equal(projectRootOf(file), join(folder, 'a'));
  } finally {
    await rm(folder, { recursive: true });
  }
});
