import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPipelineLock, parsePipelineLock } from '../../../src/store/lock-file.ts';
import type { PipelineLock } from '../../../src/store/pipeline-lock.ts';
import type { Digest } from '../../../src/stage/artifact.ts';

const digest = 'ab'.repeat(32) as Digest;
const lock: PipelineLock = {
  format: 1,
  pipeline: 'p',
  profile: null,
  stages: {
    'b@x=1': {
      key: digest,
      kind: 'k',
      version: 1,
      parameters: { z: [1, { y: 'no', x: 0.1 }], a: '1e3' },
      inputs: { in: digest },
      runtimes: { sharp: '0.35.5' },
      outputs: { out: { kind: 'file', digest, sizeBytes: 3 } },
      metrics: { 'out/top1Fraction': 0.5825, 'out/name': 'yes' },
    },
    a: {
      key: digest,
      kind: 'k',
      version: 2,
      parameters: {},
      inputs: {},
      runtimes: {},
      source: digest,
      outputs: {},
      metrics: {},
    },
  },
};

test('a lock file is read back as it was written, sorted by code unit', () => {
  const text = formatPipelineLock(lock);
  assert.deepEqual(parsePipelineLock(text, 'lock.yaml'), lock);
  assert.ok(text.indexOf('\n  a:') < text.indexOf('\n  b@x=1:'));
  assert.ok(text.indexOf('      a: "1e3"') < text.indexOf('      z:'));
  const turned = { ...lock, stages: Object.fromEntries(Object.entries(lock.stages).reverse()) };
  assert.equal(formatPipelineLock(turned), text);
});

test('a lock file with merge conflicts or foreign content is refused by name', () => {
  const text = formatPipelineLock(lock);
  assert.throws(
    () => parsePipelineLock(`<<<<<<< HEAD\n${text}=======\n${text}>>>>>>> b\n`, 'my/lock.yaml'),
    /my\/lock\.yaml is not a lock file of this version of drq/,
  );
  assert.throws(
    () => parsePipelineLock('format: 2\npipeline: p\n', 'lock.yaml'),
    /lock\.yaml is not a lock file of this version of drq: (.|\n)*format/,
  );
  for (const [other, lacking] of [
    ['name: p\nstages: {}\n', 'format'],
    ['format: 1\n', 'pipeline'],
    ['', 'format'],
    ['just text', 'format'],
  ] as const) {
    assert.throws(() => parsePipelineLock(other, 'p.yaml', 'name another'), {
      code: 'lock/invalid',
      message: `p.yaml is no lock file: it has no "${lacking}"`,
      hint: 'name another',
    });
  }
  assert.throws(() => parsePipelineLock('- a\nb: c\n', 'table.md', 'name another'), {
    message: /^table\.md is not a lock file of this version of drq: [^\n]+$/,
    hint: 'name another',
  });
});
