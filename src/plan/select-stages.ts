import { UsageError } from '../diagnostics/errors.ts';
import type { Pipeline, StageId, StageNode } from '../pipeline/spec.ts';

export interface StageSelection {
  /** In topological order: what was named and everything upstream of it. */
  readonly nodes: readonly StageNode[];
  /** What was named; all stages when nothing was. */
  readonly named: ReadonlySet<StageId>;
  readonly isWhole: boolean;
}

/** Stages by name (`quantize`: all its cells) or id; none named means all. @throws UsageError */
export function selectStages(pipeline: Pipeline, names: readonly string[]): StageSelection {
  const all = [...pipeline.graph.nodes.values()];
  if (names.length === 0) {
    return { nodes: all, named: new Set(all.map((node) => node.id)), isWhole: true };
  }
  const named = new Set<StageId>();
  for (const name of names) {
    const found = all.filter((node) => node.id === name || node.stageName === name);
    if (found.length === 0) throw unknownStage(pipeline, name, all);
    for (const node of found) named.add(node.id);
  }
  const wanted = new Set(named);
  // Backwards through a topological order: whoever needs a stage has been seen before it.
  for (const node of all.toReversed()) {
    if (!wanted.has(node.id)) continue;
    for (const id of upstreamOf(node)) wanted.add(id);
  }
  return { nodes: all.filter((node) => wanted.has(node.id)), named, isWhole: false };
}

/** The stages whose outputs a stage reads, each once. */
export function upstreamOf(node: StageNode): readonly StageId[] {
  const ids = Object.values(node.inputs).flatMap((input) =>
    input.from === 'stage' ? [input.stageId] : [],
  );
  return [...new Set(ids)];
}

function unknownStage(pipeline: Pipeline, name: string, all: readonly StageNode[]): UsageError {
  const names = [...new Set(all.map((node) => node.stageName))];
  return new UsageError({
    code: 'usage/unknown-stage',
    message: `pipeline ${pipeline.name} has no stage "${name}"; it has ${names.join(', ')}`,
    hint: 'name a stage, or one cell of a matrix by its full id as `drq plan` shows it',
  });
}
