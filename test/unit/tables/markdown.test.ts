import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeCell, renderMarkdownTable } from '../../../src/tables/markdown.ts';

test('numbers stand right, texts left, all lines are equally long', () => {
  assert.equal(
    renderMarkdownTable([
      { title: 'model', kind: 'text', cells: ['a', 'longer one'] },
      { title: 'ms', kind: 'number', cells: ['1.50', ''] },
    ]),
    [
      '| model      |   ms |',
      '| ---------- | ---: |',
      '| a          | 1.50 |',
      '| longer one |      |',
    ].join('\n'),
  );
});

test('no text can end a cell or a row', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '|', '\\', '\n', '<', ' ') }), (text) => {
      const escaped = escapeCell(text);
      assert.ok(!escaped.includes('\n'));
      assert.ok(!escaped.includes('<'));
      // Every pipe has an odd number of backslashes before it.
      for (const { 1: slashes = '' } of escaped.matchAll(/(\\*)\|/g)) {
        assert.equal(slashes.length % 2, 1);
      }
    }),
  );
});
