import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeOnnx } from '../../../src/onnx/writer.ts';
import { makeTemporaryFolder, withRemoval } from '../../../src/quantization/temporary.ts';
import { temporaryFolder } from '../../support/stage-context.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

const LIBRARY = new URL('../../../src/quantization/library.js', import.meta.url).href;

/** Calls the library in a process of its own, whose second input ends it by `end`. */
function program(modelPath: string, end: string): string {
  return `
    import { readdirSync } from 'node:fs';
    import { tmpdir } from 'node:os';
    import { calibrateModel } from ${JSON.stringify(LIBRARY)};
    async function* inputs() {
      yield new Float32Array(${3 * TINY_SIZE ** 2});
      console.log(readdirSync(tmpdir()).filter((name) => name.startsWith('drq-')).length);
      ${end};
      await new Promise((resolve) => setTimeout(resolve, 10_000));
    }
    await calibrateModel(${JSON.stringify(modelPath)}, { images: inputs(), workerCount: 1 });
  `;
}

test('nothing is left behind however the process ends', async (t) => {
  const folder = await temporaryFolder(t);
  const modelPath = join(folder, 'model.onnx');
  await writeOnnx(modelPath, tinyConvnet());
  for (const end of [
    'process.exit(3)',
    'setTimeout(() => { throw new Error("uncaught") }, 10)',
    'void Promise.reject(new Error("unhandled"))',
  ]) {
    const scratch = await temporaryFolder(t);
    const text = program(modelPath, end);
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      const settings = { env: { ...process.env, TMPDIR: scratch, TEMP: scratch } };
      execFile(process.execPath, ['--input-type=module', '-e', text], settings, (error, out) =>
        resolve({ code: error?.code, stdout: out }),
      );
    });
    assert.equal(stdout.trim(), '1', 'the folder was there while the inputs were read');
    assert.equal(code, end.includes('exit') ? 3 : 1);
    const left = (await readdir(scratch)).filter((name) => name.startsWith('drq-'));
    assert.deepEqual(left, [], end);
  }
});

test('all calls share one listener, and none stays', async () => {
  const before = process.listenerCount('exit');
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const folders = Array.from({ length: 30 }, () => makeTemporaryFolder('drq-test-'));
  const calls = folders.map((folder, i) =>
    withRemoval([folder], async () => {
      await writeFile(join(folder, 'a'), 'a');
      await released;
      return i;
    }),
  );
  assert.equal(process.listenerCount('exit'), before + 1);
  release();
  assert.deepEqual(await Promise.all(calls), [...folders.keys()]);
  assert.equal(process.listenerCount('exit'), before);
  for (const folder of folders) await assert.rejects(access(folder), { code: 'ENOENT' });
  const failing = makeTemporaryFolder('drq-test-');
  const failed = withRemoval([failing], () => Promise.reject(new Error('of the call')));
  await assert.rejects(failed, { message: 'of the call' });
  await assert.rejects(access(failing), { code: 'ENOENT' });
  assert.equal(process.listenerCount('exit'), before);
});

test('a temporary folder that cannot be used is named, with the variable that sets it', (t) => {
  const { TMPDIR } = process.env;
  t.after(() => {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  });
  const cases = [
    ['/nonexistent', 'it does not exist'],
    [process.execPath, 'it is no folder'],
  ] as const;
  for (const [folder, reason] of cases) {
    process.env['TMPDIR'] = folder;
    assert.throws(() => makeTemporaryFolder('drq-test-'), {
      name: 'EnvironmentError',
      code: 'environment/no-temporary-folder',
      message: `no folder can be made in the temporary folder ${folder}: ${reason}`,
      hint: /TMPDIR/,
    });
  }
});
