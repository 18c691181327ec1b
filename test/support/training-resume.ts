import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { InternalError } from '../../src/diagnostics/errors.ts';

/** Compiled files lie in `<build>/test/support`, so the build under test is two folders up. */
const BUILD_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const MAIN_URL = pathToFileURL(join(BUILD_FOLDER, 'src', 'cli', 'main.js')).href;
const LAUNCH = `
  const { main } = await import(process.env.DRQ_TEST_MAIN);
  process.exitCode = await main(process.argv.slice(1));
`;
const PIPELINE = 'resume.yaml';

export interface TrainingSize {
  readonly epochs: number;
  readonly imagesPerClass: number;
  readonly sizePx: number;
}

/** A project of its own whose images are made, so that the next run begins with the training. */
export async function prepareTrainingProject(folder: string, size: TrainingSize): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "name": "temporary", "type": "module" }\n');
  await writeFile(join(folder, PIPELINE), pipelineText(size));
  await startDrq(folder, ['run', PIPELINE, 'augment']).ended;
}

/** Dropout, momentum, flips and a cosine: everything that a checkpoint could lose. */
function pipelineText({ epochs, imagesPerClass, sizePx }: TrainingSize): string {
  return `name: resume
stages:
  ingest:
    kind: ingest
    parameters:
      layout: generated
      generate:
        imagesPerClass: { train: ${imagesPerClass}, validation: 4, test: 1 }
        sizePx: ${sizePx}
  augment:
    kind: augment
    inputs: { dataset: ingest.dataset }
    parameters: { sizePx: ${sizePx} }
  train:
    kind: train
    inputs: { images: augment.images }
    parameters:
      architecture: mobilenet-v2
      widthMultiplier: 0.25
      dropout: 0.2
      epochs: ${epochs}
      batchSize: 8
      learningRate: 0.02
      schedule: cosine
      flip: both
      checkpointMinutes: 0.003
`;
}

export interface TrainingOutcome {
  /** Of the trained weights' file. */
  readonly digest: string;
  /** What `drq run` said it goes on from; null: from the start. */
  readonly resumedFrom: string | null;
  readonly durationMs: number;
}

/** Trains to the end in `folder`. */
export async function trainToTheEnd(folder: string): Promise<TrainingOutcome> {
  const startedAt = performance.now();
  const text = await startDrq(folder, ['run', PIPELINE, 'train']).ended;
  return {
    digest: createHash('sha256')
      .update(await readFile(weightsPath(folder)))
      .digest('hex'),
    resumedFrom: /resumes (.*)/.exec(text)?.[1] ?? null,
    durationMs: performance.now() - startedAt,
  };
}

/** Weights as one array, for a comparison by size of difference. */
export async function trainedWeights(folder: string): Promise<Float32Array> {
  const bytes = new Uint8Array(await readFile(weightsPath(folder)));
  return new Float32Array(bytes.buffer);
}

/**
 * Makes a copy of a prepared project in which a training is killed, with all its processes, after a while.
 * False: it had ended before.
 */
export async function killTraining(
  prepared: string,
  folder: string,
  afterMs: number,
): Promise<boolean> {
  await cp(prepared, folder, { recursive: true });
  const run = startDrq(folder, ['run', PIPELINE, 'train']);
  const ended = run.ended.then(
    () => true,
    () => false, // killed
  );
  await delay(afterMs);
  run.kill();
  return !(await ended);
}

function weightsPath(folder: string): string {
  return join(folder, 'artifacts/outputs/resume/train/weights/weights.bin');
}

interface Started {
  /** What it wrote to stderr; rejects when it fails. */
  readonly ended: Promise<string>;
  /** SIGKILL for it and its children: nothing of it can tidy up. */
  kill(): void;
}

function startDrq(cwd: string, parts: readonly string[]): Started {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', LAUNCH, '--', ...parts], {
    cwd,
    detached: true, // a process group of its own, to be killed as one
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', DRQ_TEST_MAIN: MAIN_URL },
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const closed = new Promise<number | null>((settle) => child.on('close', settle));
  return {
    ended: closed.then((code) => {
      if (code !== 0) throw new InternalError(`drq ended with ${String(code)}:\n${text}`);
      return text;
    }),
    kill() {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    },
  };
}
