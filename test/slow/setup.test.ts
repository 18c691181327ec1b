import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeTinyCheckout } from '../support/tiny-checkout.ts';

test('an installation that ended half-way is done again', async (context) => {
  const checkout = makeTinyCheckout(context);
  const broken = await checkout.setup(['build'], { NPM_FAILS: '1' });
  assert.equal(broken.exitCode, 1);
  assert.match(broken.stderr, /^error: `npm ci` failed\n {4}npm error network\n {2}hint: check/m);
  assert.ok(existsSync(join(checkout.folder, 'node_modules/half-installed')));

  const healed = await checkout.setup(['build']);
  assert.equal(healed.exitCode, 0, healed.stderr);
  checkout.write('package-lock.json', '{ "packages": {}, "lockfileVersion": 3 }');
  assert.equal((await checkout.setup(['build'])).exitCode, 0);
  assert.equal(checkout.npmCalls(), 3, 'a changed lock file installs again');
});

test('a build loses the outputs of removed sources and gets back removed outputs', async (context) => {
  const checkout = makeTinyCheckout(context);
  checkout.write('test/unit/gone.test.ts', 'export const gone = true;\n');
  await checkout.setup(['build']);
  const compiledTest = join(checkout.folder, 'artifacts/build/test/unit/gone.test.js');
  assert.ok(existsSync(compiledTest));

  rmSync(join(checkout.folder, 'test/unit/gone.test.ts'));
  const compiledMain = join(checkout.folder, 'artifacts/build/src/cli/main.js');
  rmSync(compiledMain);
  const again = await checkout.setup(['build']);
  assert.equal(again.exitCode, 0, again.stderr);
  assert.ok(!existsSync(join(checkout.folder, 'artifacts/build/test')));
  assert.ok(existsSync(compiledMain));
});

test('a compile error is shown with its place, and the build is tried again', async (context) => {
  const checkout = makeTinyCheckout(context);
  checkout.write('src/wrong.ts', "export const count: number = 'three';\n");
  for (let attempt = 0; attempt < 2; attempt++) {
    const { exitCode, stderr } = await checkout.setup(['build']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^error: the build failed\nsrc\/wrong\.ts\(1,14\): error TS2322/m);
  }
});

test('a benchmark is run with its arguments; without a name, or a wrong one, they are listed', async (context) => {
  const checkout = makeTinyCheckout(context);
  checkout.write(
    'test/benchmarks/decode.ts',
    `/**
 * Seconds to decode; of all images.
 *
 * npm run bench -- decode [--count 3]
 *   [--size 8]
 */
console.log(process.argv.slice(2).join(' '));
`,
  );
  await checkout.setup(['build']);
  checkout.write('node_modules/@tensorflow/tfjs-node/package.json', '{}');
  // Without pip there is no binding: that is said, and the benchmark runs all the same.
  const environment = { PATH: checkout.programs };
  const unknown = await checkout.setup(['bench', 'nonsense'], environment);
  assert.equal(unknown.exitCode, 2);
  assert.match(unknown.stderr, /no TensorFlow binding: /);
  assert.match(unknown.stderr, /unknown benchmark "nonsense"; known: decode\n/);

  const listed = await checkout.setup(['bench'], environment);
  assert.equal(listed.exitCode, 0);
  assert.equal(
    listed.stdout,
    'npm run bench -- decode [--count 3] [--size 8]\n  Seconds to decode\n',
  );

  const known = await checkout.setup(['bench', 'decode', '--count', '3'], environment);
  assert.deepEqual([known.exitCode, known.stdout], [0, '--count 3\n']);
});
