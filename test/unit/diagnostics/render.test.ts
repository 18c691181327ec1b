import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderDiagnostics } from '../../../src/diagnostics/render.ts';

const TEXT = 'stages:\n  quantize:\n    parameters:\n      granularity: per-chanel\n';
const START = TEXT.indexOf('per-chanel');

function render(text: string, start: number, end: number): string {
  const range = { file: '/project/p.yaml', start, end };
  return renderDiagnostics([{ code: 'a/b', message: 'm', range }], () => text, '/project');
}

test('a diagnostic has place, message, underlined excerpt and hint', () => {
  const text = renderDiagnostics(
    [
      {
        code: 'pipeline/invalid-value',
        message:
          'stage "quantize": parameter "granularity" must be per-tensor or per-channel, received "per-chanel"',
        range: { file: '/project/pipelines/p.yaml', start: START, end: START + 10 },
        hint: 'did you mean "per-channel"?',
      },
      { code: 'pipeline/unknown-var', message: '--set vars.x=1: there is no var "x"' },
    ],
    () => TEXT,
    '/project',
  );
  assert.equal(
    text,
    `pipelines/p.yaml:4:20 error pipeline/invalid-value
  stage "quantize": parameter "granularity" must be per-tensor or per-channel, received "per-chanel"
  4 |       granularity: per-chanel
    |                    ~~~~~~~~~~
  hint: did you mean "per-channel"?

error pipeline/unknown-var
  --set vars.x=1: there is no var "x"
`,
  );
});

test('control characters of a file do not reach the terminal', () => {
  assert.equal(
    render('a: \u001b[31mb\u0007\tc\n', 3, 8),
    'p.yaml:1:4 error a/b\n  m\n  1 | a: ·[31mb·\tc\n    |    ~~~~~\n',
  );
});

test('a range over several lines is underlined to the end of its first', () => {
  assert.equal(
    render('a:\r\n  b: 1\r\n  c: 2\r\n', 6, 20),
    'p.yaml:2:3 error a/b\n  m\n  2 |   b: 1\n    |   ~~~~\n',
  );
});

test('tabs before the place are kept, so that the underline stands below it', () => {
  assert.equal(
    render('a:\t[\tx]', 5, 6),
    'p.yaml:1:6 error a/b\n  m\n  1 | a:\t[\tx]\n    |   \t \t~\n',
  );
});

test('an empty range at the end of the text is one mark', () => {
  assert.equal(render('a: 1', 4, 4), 'p.yaml:1:5 error a/b\n  m\n  1 | a: 1\n    |     ~\n');
});

test('a long line is shown as a window around the place', () => {
  const line = `${'x'.repeat(1000)}bad${'y'.repeat(1000)}`;
  const shown = render(line, 1000, 1003).split('\n');
  assert.equal(shown[0], 'p.yaml:1:1001 error a/b');
  assert.ok((shown[2] ?? '').length < 160);
  const at = (shown[3] ?? '').indexOf('~~~');
  assert.equal((shown[2] ?? '').slice(at, at + 3), 'bad');
});

test('a file that cannot be read, or lies elsewhere, is still named', () => {
  const range = { file: '/other/p.yaml', start: 0, end: 0 };
  const text = renderDiagnostics(
    [{ code: 'a/b', message: 'm', range }],
    () => undefined,
    '/project',
  );
  assert.equal(text, '/other/p.yaml error a/b\n  m\n');
});
