import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommandLine } from '../../../src/cli/command-line.ts';
import { COMMANDS, OPTIONS } from '../../../src/cli/options.ts';

const parse = (...argv: string[]) => parseCommandLine(argv, () => '1.2.3');

test('flags become typed values by their entry in the table', async () => {
  const parsed = await parse(
    ...['run', 'a.yaml', 'train', 'quantize@x=1', '--set', 'vars.a=1', '--jobs', '2'],
    ...['--set', 'vars.b=x=y', '--json', '--keep-going'],
  );
  assert.ok(parsed.type === 'command');
  assert.equal(parsed.command.name, 'run');
  assert.deepEqual(parsed.arguments, ['a.yaml', 'train', 'quantize@x=1']);
  assert.deepEqual(parsed.options, {
    set: ['vars.a=1', 'vars.b=x=y'],
    jobs: 2,
    keepGoing: true,
    jsonEvents: true,
  });
});

test('flags may stand before the file, and numbers may look like flags after "--"', async () => {
  const parsed = await parse('diff', '--fail-on', 'top1 < -0.5pp', '--', 'a', '-b');
  assert.ok(parsed.type === 'command');
  assert.deepEqual(parsed.arguments, ['a', '-b']);
  assert.deepEqual(parsed.options, { failOn: ['top1 < -0.5pp'] });
});

test('an optional argument that is not given is absent', async () => {
  const parsed = await parse('status');
  assert.ok(parsed.type === 'command');
  assert.deepEqual(parsed.arguments, []);
});

test('every command has help that shows all its flags', async () => {
  for (const { name, options } of COMMANDS) {
    const parsed = await parse(name, '--help');
    assert.ok(parsed.type === 'text', name);
    assert.ok(
      options.every(() => parsed.text.includes('--')),
      name,
    );
    assert.match(parsed.text, new RegExp(`Usage: drq ${name}`));
  }
});

test('whole numbers only where a number is wanted', async () => {
  for (const text of ['0', '-1', '1.5', 'x', '', '1e400']) {
    const parsed = await parse('run', 'a.yaml', `--jobs=${text}`);
    assert.equal(parsed.type, 'error', text);
  }
});

test('no text is empty, of any flag and any argument of any command', async () => {
  for (const { name, arguments: wanted, options } of COMMANDS) {
    const count = wanted.split(' ').filter((part) => part !== '').length;
    const given = Array.from({ length: count }, (_, i) => `argument-${i}`);
    const isRefused = async (...rest: string[]): Promise<void> => {
      const parsed = await parse(name, ...rest);
      assert.ok(parsed.type === 'error', rest.join(' '));
      assert.equal(parsed.error.code, 'usage/invalid-argument');
    };
    for (const i of given.keys()) await isRefused(...given.with(i, ''));
    for (const option of options) {
      const { flags, kind } = OPTIONS[option];
      const [flag = ''] = flags.split(' ');
      if (kind !== 'flag') await isRefused(...given, flag, '');
    }
  }
  const parsed = await parse('quantize', 'm.onnx', '--data', '');
  assert.deepEqual(parsed.type === 'error' && parsed.error, {
    code: 'usage/invalid-argument',
    message: "option '--data <folder>' argument '' is invalid. Expected a text that is not empty.",
    hint: 'see `drq quantize --help`',
  });
});

test('a flag of another command is unknown', async () => {
  const parsed = await parse('table', 'a.yaml', '--jobs', '2');
  assert.ok(parsed.type === 'error');
  assert.equal(parsed.error.code, 'usage/unknown-option');
});

test('version', async () => {
  assert.deepEqual(await parse('--version'), { type: 'text', text: '1.2.3' });
});

test('the help of quantize marks what has to be given, and tells the layout of pixels', async () => {
  const parsed = await parse('quantize', '--help');
  assert.equal(parsed.type, 'text');
  const text = parsed.text.replaceAll(/\s+/g, ' ');
  assert.match(text, /--data <folder> [^-]*\(required\)/);
  assert.match(text, /--output <file> [^-]*\(required\)/);
  assert.match(text, /uint8 \(pixels, in the layout of the float model\)/);
});

test('help on a command that does not exist says so, with one that does', async () => {
  const parsed = await parse('help', 'quantise');
  assert.ok(parsed.type === 'error');
  assert.deepEqual(parsed.error, {
    code: 'usage/unknown-command',
    message: "unknown command 'quantise'",
    hint: 'did you mean quantize? See `drq --help`',
  });
  assert.equal((await parse('help', 'quantize')).type, 'text');
});
