import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseTemplate } from '../../../src/pipeline/template.ts';

test('texts, references and escapes are told apart', () => {
  assert.deepEqual(parseTemplate('a ${vars.x} $${b} $c ${ matrix.y-1 }'), [
    { type: 'text', text: 'a ' },
    { type: 'reference', namespace: 'vars', name: 'x', text: '${vars.x}' },
    { type: 'text', text: ' ${b} $c ' },
    { type: 'reference', namespace: 'matrix', name: 'y-1', text: '${ matrix.y-1 }' },
  ]);
  assert.deepEqual(parseTemplate(''), []);
});

test('any text, escaped, comes back as it was', () => {
  const text = fc.string({ unit: fc.constantFrom('$', '{', '}', 'v', '.', 'ä') });
  fc.assert(
    fc.property(text, (original) => {
      const parts = parseTemplate(original.replaceAll('${', () => '$${'));
      const texts = parts.map((part) => {
        assert.equal(part.type, 'text');
        return part.text;
      });
      assert.equal(texts.join(''), original);
    }),
  );
});
