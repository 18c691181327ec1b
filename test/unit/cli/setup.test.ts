import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { makeTinyCheckout } from '../../support/tiny-checkout.ts';

test('a fresh checkout is installed and built once; then nothing is started', async (context) => {
  const checkout = makeTinyCheckout(context);
  const first = await checkout.setup(['build']);
  assert.equal(first.exitCode, 0, first.stderr);
  assert.match(first.stderr, /installing packages \(npm ci\): done in/);
  assert.match(first.stderr, /building \(tsc\): done in/);
  assert.ok(existsSync(join(checkout.folder, 'artifacts/build/src/cli/main.js')));

  const second = await checkout.setup(['build']);
  assert.equal(second.stderr, 'setup: up to date\n');
  assert.equal(checkout.npmCalls(), 1);

  const launched = await checkout.launch(['table', 'a.yaml']);
  assert.deepEqual(launched, { exitCode: 7, stdout: 'ran table a.yaml\n', stderr: '' });
});

test('without a build the launcher says what to do', async (context) => {
  const checkout = makeTinyCheckout(context);
  const { exitCode, stderr } = await checkout.launch(['run', 'a.yaml']);
  assert.equal(exitCode, 1);
  assert.match(
    stderr,
    /^error: drq is not built\n {2}hint: run `npm start` or `npm run build` in /,
  );
});

test('an unknown command lists the known ones', async (context) => {
  const { exitCode, stderr } = await makeTinyCheckout(context).setup(['nonsense']);
  assert.equal(exitCode, 2);
  assert.match(stderr, /unknown set-up command "nonsense"; known: start, setup/);
});

test('the scripts say which Node they need', async () => {
  const path = join(packageRoot(), 'src/cli/setup/node-version.js');
  const { nodeVersionProblem } = (await import(pathToFileURL(path).href)) as {
    nodeVersionProblem: (version: string) => string | undefined;
  };
  for (const version of ['20.19.0', '20.20.2', '22.0.0', '24.21.0']) {
    assert.equal(nodeVersionProblem(version), undefined, version);
  }
  assert.match(nodeVersionProblem('20.18.3') ?? '', /needs Node 20\.19 or newer.*Node 20\.18\.3/);
  assert.match(nodeVersionProblem('9.0.0') ?? '', /hint: install a current Node/);
  const declared = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  assert.equal(declared.engines.node, '>=20.19');
});
