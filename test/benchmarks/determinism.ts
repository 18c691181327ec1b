/**
 * The same pipeline in two clones, one worker and two: keys and digests of ingest, augment, import,
 * calibrate and quantize must be equal, by the lock files and by `drq diff`.
 *
 * npm run bench -- determinism [--model FILE.onnx --size 224] [--images 40]
 *
 * The model is a MobileNetV2 of random weights unless one is given; --images are those of each grade.
 */
import { cp, rm, symlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { DataError } from '../../src/diagnostics/errors.ts';
import { exportOnnx } from '../../src/models/export-onnx.ts';
import { randomWeights } from '../../src/models/weights.ts';
import { buildNetwork } from '../../src/models/zoo.ts';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import {
  positiveInteger,
  renderRows,
  runProgramMain,
  say,
  userPath,
} from '../support/benchmark-program.ts';
import { cloneCheckout, terminalEnvironment, type Clone } from '../support/clone-checkout.ts';
import { compareLocks, runArguments, writeDeterminismProject } from '../support/determinism.ts';

/** Compiled files lie in `<build>/test/benchmarks`. */
const BUILD_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

interface Project extends Clone {
  readonly workerCount: number;
  readonly seconds: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      size: { type: 'string', default: '96' },
      images: { type: 'string', default: '40' },
    },
  });
  const sizePx = positiveInteger('--size', values.size);
  const settings = {
    sizePx,
    trainImagesPerClass: positiveInteger('--images', values.images),
    calibrationCount: 64,
    model:
      values.model === undefined ? randomNetwork(sizePx) : await readOnnx(userPath(values.model)),
  };
  const projects: Project[] = [];
  try {
    for (const workerCount of [1, 2]) {
      const clone = await prepareClone();
      projects.push({ ...clone, workerCount, seconds: NaN });
      await writeDeterminismProject(clone.folder, settings);
      say(`running in ${clone.folder} with ${workerCount} worker(s)`);
      const startedAt = performance.now();
      await drq(clone.folder, runArguments(workerCount));
      const seconds = (performance.now() - startedAt) / 1000;
      projects[projects.length - 1] = { ...clone, workerCount, seconds };
    }
    await report(projects);
  } finally {
    for (const { scratch } of projects) await rm(scratch, { recursive: true, force: true });
  }
}

function randomNetwork(sizePx: number): OnnxModel {
  const network = buildNetwork({
    architecture: 'mobilenet-v2',
    variant: 'paper',
    widthMultiplier: 0.5,
    padding: 'torch',
    batchNorm: 'standard',
    dropout: 0,
    classCount: 7,
    imageSize: sizePx,
  });
  return exportOnnx(network, randomWeights(network, 1, 'he'), {
    classes: ['0', '1', '2', '3', '4', '5', '6'],
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  });
}

/** A clone that shares this checkout's packages and has a copy of the build that runs now. */
async function prepareClone(): Promise<Clone> {
  const clone = await cloneCheckout('determinism');
  await symlink(join(packageRoot(), 'node_modules'), join(clone.folder, 'node_modules'));
  await cp(BUILD_FOLDER, join(clone.folder, 'artifacts', 'build'), { recursive: true });
  return clone;
}

async function drq(folder: string, parts: readonly string[]): Promise<string> {
  const script = join(folder, 'src', 'cli', 'drq.js');
  const { exitCode, stdout } = await execa(process.execPath, [script, ...parts], {
    cwd: folder,
    env: terminalEnvironment(),
    extendEnv: false,
    reject: false,
    stderr: 'inherit',
  });
  if (exitCode === 0) return stdout;
  throw new DataError({
    code: 'benchmark/drq-failed',
    message: `drq ${parts[0] ?? ''} ended with exit code ${String(exitCode)} in ${folder}`,
    hint: 'its own messages stand above',
  });
}

async function report([one, two]: readonly Project[]): Promise<void> {
  if (one === undefined || two === undefined) throw new Error('two projects are made above');
  const comparisons = await compareLocks(one.folder, two.folder);
  const experiments = (project: Project): string =>
    join(project.folder, 'experiments', 'determinism');
  const diff = (await drq(one.folder, ['diff', experiments(one), experiments(two)])).trim();
  console.log(
    renderRows(
      comparisons.map(({ stageId, sameKey, outputCount, differentOutputs }) => ({
        stage: stageId,
        key: sameKey ? 'same' : 'different',
        outputs: outputCount,
        different: differentOutputs.join(', ') || 'none',
      })),
    ),
  );
  console.log(diff);
  const passed = comparisons.every(
    ({ sameKey, differentOutputs }) => sameKey && differentOutputs.length === 0,
  );
  console.log(
    JSON.stringify({
      benchmark: 'determinism',
      revision: one.revision,
      passed,
      secondsOfOneWorker: one.seconds,
      secondsOfTwoWorkers: two.seconds,
      comparisons,
      diff,
    }),
  );
  if (!passed) process.exitCode = 1;
}

await runProgramMain(main);
