import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  findProblems,
  type CheckedImage,
  type FindingPolicy,
} from '../../../src/data/dataset-findings.ts';

const EXCLUDE: FindingPolicy = {
  unreadable: 'exclude',
  duplicates: 'exclude',
  labelConflicts: 'exclude',
  leaks: 'exclude',
};

function image(
  id: string,
  sha256: string,
  className = '0',
  more: Partial<CheckedImage> = {},
): CheckedImage {
  const split = id.startsWith('test') ? 'test' : 'train';
  return { id, sha256, className, split, ...more };
}

function kept(images: readonly CheckedImage[], policy = EXCLUDE): string[] {
  return findProblems(images, policy).kept.map(({ id }) => id);
}

test('images of their own are kept and give no finding', () => {
  const result = findProblems([image('train/a', 'A'), image('test/b', 'B')], EXCLUDE);
  assert.equal(result.kept.length, 2);
  assert.deepEqual(result.findings, []);
});

test('of plain duplicates the first stays, or all with a warning', () => {
  const images = [image('train/b', 'A'), image('train/a', 'A')];
  assert.deepEqual(kept(images), ['train/a']);
  assert.deepEqual(kept(images, { ...EXCLUDE, duplicates: 'warn' }), ['train/a', 'train/b']);
});

test('conflicting labels drop training images but never one of the test split', () => {
  const images = [
    image('train/a', 'A', '0'),
    image('train/b', 'A', '1'),
    image('test/c', 'A', '2'),
  ];
  assert.deepEqual(kept(images), ['test/c']);
  const inTest = [image('test/a', 'A', '0'), image('test/b', 'A', '1')];
  const { kept: stayed, findings } = findProblems(inTest, EXCLUDE);
  assert.equal(stayed.length, 2);
  assert.deepEqual(
    findings.map(({ kind, action }) => [kind, action]),
    [['label-conflict', 'warn']],
  );
});

test('a leak keeps test before validation before train, and is told apart from duplicates', () => {
  const images = [
    image('train/a', 'A'),
    image('valid/b', 'A', '0', { split: 'validation' }),
    image('test/c', 'A'),
    image('train/d', 'B'),
    image('valid/e', 'B', '0', { split: 'validation' }),
  ];
  const { kept: stayed, findings } = findProblems(images, EXCLUDE);
  assert.deepEqual(
    stayed.map(({ id }) => id),
    ['test/c', 'valid/e'],
  );
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ['leak', 'leak'],
  );
});

test('a patient in two splits is a leak', () => {
  const images = [
    image('train/a', 'A', '0', { group: 'P1' }),
    image('test/b', 'B', '0', { group: 'P1' }),
    image('train/c', 'C', '0', { group: 'P2' }),
  ];
  const { kept: stayed, findings } = findProblems(images, EXCLUDE);
  assert.deepEqual(
    stayed.map(({ id }) => id),
    ['test/b', 'train/c'],
  );
  assert.match(
    findings[0]?.message ?? '',
    /^group P1 stands in several splits: test\/b, train\/a$/,
  );
});

test('images in no split yet are duplicates, not leaks', () => {
  const images = ['a', 'b'].map((id) => ({ id, sha256: 'A', className: '0' }));
  const { findings } = findProblems(images, EXCLUDE);
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ['duplicate'],
  );
});

test('unreadable images go whatever the policy, and compare with nothing', () => {
  const images = [image('train/a', 'A', '0', { problem: 'train/a is cut' }), image('train/b', 'A')];
  const { kept: stayed, findings } = findProblems(images, { ...EXCLUDE, unreadable: 'warn' });
  assert.deepEqual(
    stayed.map(({ id }) => id),
    ['train/b'],
  );
  assert.deepEqual(findings, [
    { kind: 'unreadable', message: 'train/a is cut', action: 'exclude' },
  ]);
});
