import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { createRig } from '../support/rig.ts';

test('an unknown command: what was meant, exit 2', async (context) => {
  const rig = await createRig(context);
  assert.deepEqual(await rig.drq('rum', 'x.yaml'), {
    exitCode: 2,
    stdout: '',
    stderr:
      "error usage/unknown-command: unknown command 'rum'\nhint: did you mean run? See `drq --help`\n",
  });
});

test('an unknown flag: what was meant, exit 2', async (context) => {
  const rig = await createRig(context);
  assert.deepEqual(await rig.drq('run', 'x.yaml', '--forse'), {
    exitCode: 2,
    stdout: '',
    stderr:
      "error usage/unknown-option: unknown option '--forse'\nhint: did you mean --force? See `drq run --help`\n",
  });
});

test('a missing argument and a wrong value: exit 2', async (context) => {
  const rig = await createRig(context);
  assert.deepEqual(await rig.drq('run'), {
    exitCode: 2,
    stdout: '',
    stderr:
      "error usage/missing-argument: missing required argument 'file'\nhint: see `drq run --help`\n",
  });
  assert.deepEqual(await rig.drq('run', 'x.yaml', '--jobs', 'many'), {
    exitCode: 2,
    stdout: '',
    stderr:
      "error usage/invalid-argument: option '--jobs <n>' argument 'many' is invalid. Expected a whole number from 1 up.\nhint: see `drq run --help`\n",
  });
  const format = await rig.drq('table', 'x.yaml', '--format', 'xlsx');
  assert.equal(format.exitCode, 2);
  assert.match(format.stderr, /Allowed choices are terminal, csv, markdown, json/);
});

test('help and version go to stdout and exit 0; no command at all is a usage error', async (context) => {
  const rig = await createRig(context);
  const help = await rig.drq('--help');
  assert.equal(help.exitCode, 0);
  assert.equal(help.stderr, '');
  for (const name of ['run', 'plan', 'why', 'status', 'table', 'diff', 'graph', 'quantize']) {
    assert.match(help.stdout, new RegExp(`^  ${name} `, 'm'));
  }
  assert.ok(!help.stdout.includes('exec-stage'));
  const version = await rig.drq('--version');
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  const nothing = await rig.drq();
  assert.equal(nothing.exitCode, 2);
  assert.equal(nothing.stdout, '');
  assert.match(nothing.stderr, /Usage: drq <command>/);
});

test('a file that cannot be a pipeline is refused before it is read: exit 2', async (context) => {
  const rig = await createRig(context);
  const path = await rig.write('archive.yaml', '');
  const file = await open(path, 'r+');
  await file.truncate(700 * 2 ** 20); // more than a text of JavaScript can have
  await file.close();
  assert.deepEqual(await rig.drq('plan', 'archive.yaml'), {
    exitCode: 2,
    stdout: '',
    stderr:
      'archive.yaml error pipeline/unreadable\n  the file has 734003200 bytes; a pipeline may have at most 1048576\n  hint: is this the right file?\n',
  });
  const device = await rig.drq('plan', '/dev/null');
  assert.equal(device.exitCode, 2);
  assert.match(device.stderr, /this is a pipe or a device, not a file/);
});

test('what parameters need is asked for before anything runs: exit 2', async (context) => {
  const rig = await createRig(context);
  await rig.write(
    'p.yaml',
    `name: p
stages:
  data: { kind: ingest }
  images: { kind: augment, inputs: { dataset: data } }
  train: { kind: train, inputs: { images: images.images }, parameters: { architecture: alexnet } }
  ranges: { kind: calibrate, inputs: { model: train.model, images: images.images } }
  int8:
    kind: quantize
    inputs: { model: train.model, table: ranges.table }
    parameters: { inputType: uint8, rounding: adaptive }
`,
  );
  const { exitCode, stderr } = await rig.drq('plan', 'p.yaml');
  assert.equal(exitCode, 2);
  assert.match(
    stderr,
    /p\.yaml:10:5 error pipeline\/missing-input\n {2}stage "int8": inputType uint8 needs the input "images"/,
  );
  assert.match(stderr, /rounding adaptive needs the input "images"/);
  assert.ok(!stderr.includes('biasCorrection'), 'a default is done without');
});
