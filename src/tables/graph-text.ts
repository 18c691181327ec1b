import { basename } from 'node:path';
import type { Pipeline } from '../pipeline/spec.ts';

interface DrawnNode {
  readonly id: string;
  readonly lines: readonly string[];
  readonly form: 'stage' | 'path';
}

interface DrawnEdge {
  readonly from: string;
  readonly to: string;
  readonly label: string;
}

/** The graph as Mermaid flowchart text: a box a stage cell, artifact kinds on the edges. */
export function renderMermaid(pipeline: Pipeline): string {
  const { nodes, edges } = drawGraph(pipeline);
  return [
    'flowchart TD',
    ...nodes.map(({ id, lines, form }) => {
      const text = `"${lines.map(escapeMermaid).join('<br/>')}"`;
      return form === 'path' ? `  ${id}[/${text}/]` : `  ${id}[${text}]`;
    }),
    ...edges.map(({ from, to, label }) => `  ${from} -- "${escapeMermaid(label)}" --> ${to}`),
    '',
  ].join('\n');
}

/** The graph as Graphviz text. */
export function renderDot(pipeline: Pipeline): string {
  const { nodes, edges } = drawGraph(pipeline);
  return [
    `digraph ${quoteDot([pipeline.name])} {`,
    '  rankdir=TB;',
    '  node [shape=box];',
    ...nodes.map(
      ({ id, lines, form }) =>
        `  ${id} [label=${quoteDot(lines)}${form === 'path' ? ', shape=note' : ''}];`,
    ),
    ...edges.map(({ from, to, label }) => `  ${from} -> ${to} [label=${quoteDot([label])}];`),
    '}',
    '',
  ].join('\n');
}

/** Ids are numbers with a letter: stage ids hold characters that neither language takes bare. */
function drawGraph(pipeline: Pipeline): { nodes: DrawnNode[]; edges: DrawnEdge[] } {
  const stages = [...pipeline.graph.nodes.values()];
  const stageIds = new Map(stages.map(({ id }, index) => [id, `s${index}`]));
  const pathIds = new Map<string, string>();
  const nodes: DrawnNode[] = [];
  const edges: DrawnEdge[] = [];
  for (const stage of stages) {
    const to = stageIds.get(stage.id) ?? '';
    const cell = Object.entries(stage.cell).map(([name, value]) => `${name} = ${String(value)}`);
    nodes.push({
      id: to,
      lines: [stage.stageName, ...cell, `(${stage.definition.kind})`],
      form: 'stage',
    });
    for (const [name, input] of Object.entries(stage.inputs)) {
      if (input.from === 'stage') {
        const from = stageIds.get(input.stageId) ?? '';
        edges.push({ from, to, label: input.kind });
        continue;
      }
      let from = pathIds.get(input.absolutePath);
      if (from === undefined) {
        from = `p${pathIds.size}`;
        pathIds.set(input.absolutePath, from);
        nodes.push({ id: from, lines: [basename(input.absolutePath)], form: 'path' });
      }
      edges.push({ from, to, label: name });
    }
  }
  return { nodes, edges };
}

/** Mermaid reads `#name;` as an entity and `"` as the end of the text, even inside one. */
function escapeMermaid(text: string): string {
  return text.replace(/[#"<>&;\\`]/g, (character) => `#${character.codePointAt(0) ?? 0};`);
}

/** One quoted Graphviz string; `lines` are joined with its line break. */
function quoteDot(lines: readonly string[]): string {
  const escaped = lines.map((line) => line.replaceAll('\\', '\\\\').replaceAll('"', '\\"'));
  return `"${escaped.join('\\n')}"`;
}
