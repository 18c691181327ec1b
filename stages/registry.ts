import type { AnyStageDefinition } from '../src/stage/definition.ts';
import { augment } from './augment/stage.ts';
import { benchmark } from './benchmark/stage.ts';
import { calibrate } from './calibrate/stage.ts';
import { command } from './command/stage.ts';
import { evaluate } from './evaluate/stage.ts';
import { importModel } from './import/stage.ts';
import { ingest } from './ingest/stage.ts';
import { quantize } from './quantize/stage.ts';
import { train } from './train/stage.ts';

/** Every stage kind there is, in the order of a pipeline. Adding a kind is adding a line. */
const DEFINITIONS: readonly AnyStageDefinition[] = [
  ingest,
  augment,
  train,
  importModel,
  calibrate,
  quantize,
  evaluate,
  benchmark,
  command,
];

export const registry: ReadonlyMap<string, AnyStageDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.kind, definition]),
);
