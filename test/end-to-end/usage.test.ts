import assert from 'node:assert/strict';
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
