import type { AnyStageDefinition } from '../stage/definition.ts';
import type { Located, LocatedMap, Origin } from './located.ts';
import type { StageNode } from './spec.ts';

/** A stage as the file has it after profile and options, its kind found, nothing expanded yet. */
export interface StageSpec {
  readonly name: string;
  readonly key: Origin;
  /** The mapping with inputs, parameters, matrix, resources and outputs, `${…}` still in it. */
  readonly body: LocatedMap;
  /** Absent when the kind is wrong and reported: nothing is said of what depends on it. */
  readonly definition: AnyStageDefinition | undefined;
  readonly ownKind: StageNode['ownKind'];
}

/** A pipeline file after profile and options, ready to be expanded. */
export interface PipelineSpec {
  readonly vars: ReadonlyMap<string, Located>;
  readonly stages: ReadonlyMap<string, StageSpec>;
  readonly tables: LocatedMap | undefined;
}
