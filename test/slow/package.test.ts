import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { execa } from 'execa';
import { packageRoot } from '../../src/runtime/package-root.ts';

/** Packs this checkout and installs the tarball as a user would: needs npm's registry. */
describe('the packed drq', () => {
  let scratch = '';
  let tarball = '';

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'drq-package-'));
    const packed = await execa('npm', ['pack', '--json', `--pack-destination=${scratch}`], {
      cwd: packageRoot(),
    });
    const [description] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n'))) as [
      { filename: string; files: readonly { path: string }[] },
    ];
    tarball = join(scratch, description.filename);
    const paths = description.files.map(({ path }) => path);
    for (const path of ['LICENSE', 'README.md', 'src/cli/drq.js', 'pipelines/quickstart.yaml']) {
      assert.ok(paths.includes(path), `${path} is packed`);
    }
    assert.ok(paths.includes('artifacts/build/src/cli/main.js'), 'the build is packed');
    const unwanted = paths.filter((path) => /^artifacts\/build\/test|\.map$|^test\//.test(path));
    assert.deepEqual(unwanted, []);
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  // Without scripts first: then the binding goes into the package itself, and the second run, whose
  // tfjs-node npm drops where the package's host is out of reach, takes the libraries from the cache.
  for (const flags of [['--ignore-scripts'], []]) {
    test(`works after npm install --global ${flags.join(' ')}`, async () => {
      const prefix = join(scratch, `prefix${flags.join('')}`);
      const elsewhere = join(scratch, 'elsewhere');
      mkdirSync(elsewhere, { recursive: true });
      const environment = { XDG_CACHE_HOME: join(scratch, 'cache') };
      await execa('npm', ['install', '--global', `--prefix=${prefix}`, ...flags, tarball], {
        cwd: elsewhere,
      });
      const drq = (...argv: string[]) =>
        execa(join(prefix, 'bin', 'drq'), argv, {
          cwd: elsewhere,
          env: environment,
          reject: false,
          all: true,
        });

      assert.match((await drq('--version')).stdout, /^\d+\.\d+\.\d+$/);
      const doctor = await drq('doctor');
      assert.equal(doctor.exitCode, 0, doctor.all);
      if (flags.length > 0) {
        assert.match(doctor.stdout, /missing +TensorFlow binding .*\n +→ run `drq setup`/);
      }

      const setup = await drq('setup');
      assert.equal(setup.exitCode, 0, setup.all);
      assert.match((await drq('doctor')).stdout, /ok +TensorFlow binding +TensorFlow \d+\.\d+/);
      assert.match((await drq('setup')).all, /setup: up to date/);

      const pipeline = join(prefix, 'lib/node_modules/drq/pipelines/quickstart.yaml');
      const plan = await drq('plan', pipeline, '--root', elsewhere);
      assert.equal(plan.exitCode, 0, plan.all);
      assert.deepEqual(
        readdirSync(join(scratch, 'cache', 'drq')).filter((name) => /^partial|\.whl$/.test(name)),
        [],
      );
      assert.ok(existsSync(join(prefix, 'lib/node_modules/drq/LICENSE')));
    });
  }
});
