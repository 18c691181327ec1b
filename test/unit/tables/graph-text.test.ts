import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pipeline } from '../../../src/pipeline/spec.ts';
import { renderDot, renderMermaid } from '../../../src/tables/graph-text.ts';
import { tinyPipeline } from '../../support/in-memory-pipeline.ts';

function drawn(): Pipeline {
  return tinyPipeline('/project', [
    { name: 'read', inputs: { text: '/project/a "b" <c>.txt' }, outputs: { out: 'dataset' } },
    {
      name: 'use',
      inputs: { data: 'read', again: '/project/a "b" <c>.txt' },
      node: { cell: { x: 'p"q' } },
    },
  ]);
}

test('Mermaid: a box a stage with its cell and kind, artifact kinds on edges, quotes escaped', () => {
  assert.equal(
    renderMermaid(drawn()),
    `flowchart TD
  s0["read<br/>(kind-of-read)"]
  p0[/"a #34;b#34; #60;c#62;.txt"/]
  s1["use<br/>x = p#34;q<br/>(kind-of-use)"]
  p0 -- "text" --> s0
  s0 -- "dataset" --> s1
  p0 -- "again" --> s1
`,
  );
});

test('Graphviz: the same, in its quoting', () => {
  assert.equal(
    renderDot(drawn()),
    `digraph "tiny" {
  rankdir=TB;
  node [shape=box];
  s0 [label="read\\n(kind-of-read)"];
  p0 [label="a \\"b\\" <c>.txt", shape=note];
  s1 [label="use\\nx = p\\"q\\n(kind-of-use)"];
  p0 -> s0 [label="text"];
  s0 -> s1 [label="dataset"];
  p0 -> s1 [label="again"];
}
`,
  );
});
