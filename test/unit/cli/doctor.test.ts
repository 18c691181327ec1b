import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import {
  describeProcessor,
  diskComponent,
  nodeComponent,
  renderComponents,
  runDoctor,
} from '../../../src/cli/commands/doctor.ts';

test('doctor prints one line a component and fails for none that this suite needs', async () => {
  const lines: string[] = [];
  assert.equal(await runDoctor((line) => lines.push(stripVTControlCharacters(line))), 0);
  const names = lines.flatMap((line) => /^(?:ok|warning|missing) +(.+?) {2}/.exec(line)?.[1] ?? []);
  assert.deepEqual(
    names.map((name) => name.trim()),
    [
      ...['Node', 'TensorFlow binding', 'onnxruntime', 'sharp'],
      ...['processor', 'cores', 'memory', 'disk'],
    ],
  );
  assert.match(lines.find((line) => line.includes('sharp')) ?? '', /\d+\.\d+\.\d+, libvips \d+\./);
});

test('what is missing or weak has its remedy on the line below', () => {
  const lines = renderComponents([
    { name: 'Node', state: 'ok', detail: '20.20.2' },
    { name: 'sharp', state: 'missing', detail: 'does not load', remedy: 'install drq again' },
  ]).map(stripVTControlCharacters);
  assert.deepEqual(lines, [
    'ok       Node   20.20.2',
    'missing  sharp  does not load',
    '                → install drq again',
  ]);
});

test('a Node that is too old is required and missing', () => {
  assert.equal(nodeComponent('20.19.0').state, 'ok');
  assert.equal(nodeComponent('24.1.0').state, 'ok');
  const old = nodeComponent('20.18.9');
  assert.deepEqual([old.state, old.required], ['missing', true]);
});

test('a processor without an int8 dot product is a warning', () => {
  const vnni = describeProcessor('EPYC', ['avx2', 'avx512_vnni', 'fma'], 'vnni');
  assert.deepEqual(vnni, {
    name: 'processor',
    state: 'ok',
    detail: 'EPYC, int8 instructions: avx2, avx512_vnni',
  });
  const old = describeProcessor('Core', ['avx2', 'fma'], 'avx2');
  assert.equal(old.state, 'warning');
  assert.equal(old.detail, 'Core, no int8 dot product (avx2 only)');
  assert.equal(describeProcessor('Atom', [], 'none').detail, 'Atom, no int8 dot product');
  assert.equal(describeProcessor('M2', [], 'unknown').state, 'ok');
});

test('the disk is looked at where artifacts would go', () => {
  assert.match(diskComponent(tmpdir()).detail, /GB free for .*artifacts$/);
});
