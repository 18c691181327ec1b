import type { JsonObject, StageNode } from '../pipeline/spec.ts';
import type { Digest } from '../stage/artifact.ts';
import { canonicalJson } from '../store/canonical-json.ts';
import { hashBytes } from '../store/hash-file.ts';

/** Raised when the document below changes its form: every stored result then has another key. */
export const KEY_FORMAT = 1;

/** All that decides what a stage's outputs are. No path, time, host or resource is part of it. */
export interface StageFingerprint {
  readonly kind: string;
  readonly version: number;
  readonly parameters: JsonObject;
  /** Input name → digest of its content. */
  readonly inputs: Readonly<Record<string, Digest>>;
  readonly runtimes: Readonly<Record<string, string>>;
  /** Outputs the pipeline declares itself: name → kind and place. */
  readonly outputs?: JsonObject;
  /** Digest of the module of a stage kind of the user's own. */
  readonly source?: Digest;
  readonly machine?: Digest;
}

/** The key under which a stage's result is stored: the hash of one canonical document. */
export function stageKey(fingerprint: StageFingerprint): Digest {
  return hashBytes(canonicalJson({ format: KEY_FORMAT, ...fingerprint }));
}

export interface FingerprintParts {
  readonly node: StageNode;
  readonly inputs: Readonly<Record<string, Digest>>;
  readonly runtimeVersion: (name: string) => string;
  /** Joins the key of `per-machine` stages only. */
  readonly machine: Digest | null;
}

/** The fingerprint of a stage whose inputs are known. */
export function fingerprintOf({
  node,
  inputs,
  runtimeVersion,
  machine,
}: FingerprintParts): StageFingerprint {
  const { definition } = node;
  return {
    kind: definition.kind,
    version: definition.version,
    parameters: node.parameters,
    inputs,
    runtimes: Object.fromEntries(definition.runtimes.map((name) => [name, runtimeVersion(name)])),
    ...(definition.outputs === 'declared-by-pipeline' ? { outputs: declaredOutputs(node) } : {}),
    ...(node.ownKind === undefined ? {} : { source: node.ownKind.sourceDigest }),
    ...(definition.cache === 'per-machine' && machine !== null ? { machine } : {}),
  };
}

function declaredOutputs(node: StageNode): JsonObject {
  return Object.fromEntries(
    Object.entries(node.outputs).map(([name, { kind, path }]) => [
      name,
      path === undefined ? { kind } : { kind, path },
    ]),
  );
}
