import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { pipelineLockSchema, type LockedStage } from '../../src/store/pipeline-lock.ts';

export const DETERMINISM_PIPELINE = 'determinism.yaml';
/** Training is left out: TensorFlow adds in the order in which its threads come. */
export const DETERMINISM_STAGES = ['ingest', 'augment', 'import', 'calibrate', 'quantize'] as const;

export interface DeterminismSettings {
  readonly sizePx: number;
  readonly trainImagesPerClass: number;
  readonly calibrationCount: number;
  /** Takes images of `sizePx`. */
  readonly model: OnnxModel;
}

/** Writes the pipeline and its model: everything random that the stages know is switched on. */
export async function writeDeterminismProject(
  folder: string,
  settings: DeterminismSettings,
): Promise<void> {
  const { sizePx, trainImagesPerClass, calibrationCount, model } = settings;
  await writeFile(
    join(folder, DETERMINISM_PIPELINE),
    `name: determinism
stages:
  ingest:
    kind: ingest
    parameters:
      layout: generated
      generate:
        imagesPerClass: { train: ${trainImagesPerClass}, validation: 1, test: 2 }
        sizePx: ${sizePx + 16}
        seed: 5
  augment:
    kind: augment
    inputs: { dataset: ingest.dataset }
    parameters:
      sizePx: ${sizePx}
      copies: 4
      randomlyFlippedCopies: 2
      rotationDegrees: 20
      brightness: 0.2
      contrast: 0.2
      seed: 7
  import:
    kind: import
    inputs: { model: { path: model.onnx } }
  calibrate:
    kind: calibrate
    inputs: { model: import.model, images: augment.images }
    parameters: { count: ${calibrationCount}, seed: 9 }
  quantize:
    kind: quantize
    inputs: { model: import.model, table: calibrate.table, images: augment.images }
`,
  );
  await writeOnnx(join(folder, 'model.onnx'), model);
}

/** Arguments of `drq` that run the pipeline with so many workers in every stage. */
export function runArguments(workerCount: number): string[] {
  const settings = DETERMINISM_STAGES.flatMap((stage) => [
    '--set',
    `stages.${stage}.resources.cpus=${workerCount}`,
  ]);
  return ['run', DETERMINISM_PIPELINE, '--jobs', String(workerCount), ...settings];
}

export interface StageComparison {
  readonly stageId: string;
  readonly sameKey: boolean;
  /** Names of the outputs whose digests differ. */
  readonly differentOutputs: readonly string[];
  readonly outputCount: number;
}

/** Compares the lock files of two projects stage by stage. */
export async function compareLocks(a: string, b: string): Promise<StageComparison[]> {
  const [first, second] = [await readLock(a), await readLock(b)];
  return DETERMINISM_STAGES.map((stageId) => {
    const [before, after] = [stageOf(first, stageId), stageOf(second, stageId)];
    const names = [...new Set([...Object.keys(before.outputs), ...Object.keys(after.outputs)])];
    return {
      stageId,
      sameKey: before.key === after.key,
      differentOutputs: names.filter(
        (name) => before.outputs[name]?.digest !== after.outputs[name]?.digest,
      ),
      outputCount: names.length,
    };
  });
}

async function readLock(project: string): Promise<Readonly<Record<string, LockedStage>>> {
  const text = await readFile(join(project, 'experiments', 'determinism', 'lock.yaml'), 'utf8');
  return pipelineLockSchema.parse(parse(text)).stages;
}

function stageOf(stages: Readonly<Record<string, LockedStage>>, stageId: string): LockedStage {
  const stage = stages[stageId];
  if (stage === undefined) throw new Error(`the lock file has no stage "${stageId}"`);
  return stage;
}
