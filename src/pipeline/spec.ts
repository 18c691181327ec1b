import type { SourceRange } from '../diagnostics/diagnostic.ts';
import type { ArtifactKind, Digest } from '../stage/artifact.ts';
import type { AnyStageDefinition } from '../stage/definition.ts';

export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = Readonly<Record<string, JsonValue>>;
export type MatrixScalar = string | number | boolean;

/** `quantize`, or with its cell `quantize@granularity=per-channel,method=min-max`. */
export type StageId = string & { readonly __brand: 'StageId' };

export type NodeInput =
  | {
      readonly from: 'stage';
      readonly stageId: StageId;
      readonly output: string;
      readonly kind: ArtifactKind;
    }
  /** A file or folder of the user's, hashed by content; the path itself never joins a key. */
  | { readonly from: 'path'; readonly absolutePath: string; readonly range: SourceRange };

export interface NodeOutput {
  readonly kind: ArtifactKind;
  /** Only for outputs declared by the pipeline (kind `command`): where the program writes it, relative to its working folder. */
  readonly path?: string;
}

/** One stage cell, ready to run: parameters validated with defaults filled in. */
export interface StageNode {
  readonly id: StageId;
  readonly stageName: string;
  /** `{}` outside a matrix; else the coordinates of this cell, own and inherited, in declared order. */
  readonly cell: Readonly<Record<string, MatrixScalar>>;
  readonly definition: AnyStageDefinition;
  /** Absolute path of the module and digest of its source, for a stage kind of the user's own (`kind: ./my-stage.js`). */
  readonly ownKind?: { readonly modulePath: string; readonly sourceDigest: Digest };
  readonly parameters: JsonObject;
  readonly inputs: Readonly<Record<string, NodeInput>>;
  readonly outputs: Readonly<Record<string, NodeOutput>>;
  /** Never part of a key. */
  readonly resources: { readonly cpuCount: number | 'all' };
  readonly range: SourceRange;
}

/** Nodes in topological order (ties in the order of the file). */
export interface StageGraph {
  readonly nodes: ReadonlyMap<StageId, StageNode>;
}

/** Where a table takes figures from: every value of a metrics output, or those of one subject. */
export interface MetricSource {
  readonly stageId: StageId;
  readonly output: string;
  readonly subject: string | null;
}

export interface TableRow {
  /** `model`, `precision` and any further label columns, cell coordinates included. */
  readonly labels: Readonly<Record<string, string>>;
  readonly sources: readonly MetricSource[];
}

export interface TableSpec {
  readonly name: string;
  readonly rows: readonly TableRow[];
  readonly notes: readonly string[];
}

/** Published figures, shown beside measured ones; matched to rows by `model` and `precision`. */
export interface ReferenceSpec {
  readonly source: string;
  readonly rows: readonly {
    readonly model: string;
    readonly precision: string;
    readonly top1Percent?: number;
    readonly sizeMb?: number;
    readonly latencyMs?: number;
    readonly note?: string;
  }[];
}

/** A pipeline file read, checked and expanded: nothing raw is looked at after this. */
export interface Pipeline {
  readonly name: string;
  readonly description: string;
  /** Absolute. */
  readonly filePath: string;
  /** `artifacts/` and `experiments/` lie here: the nearest folder above the file with a package.json or .git. */
  readonly projectRoot: string;
  readonly profile: string | null;
  readonly vars: JsonObject;
  readonly graph: StageGraph;
  readonly tables: readonly TableSpec[];
  readonly reference: ReferenceSpec | null;
}
