import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import type { Normalization } from '../../src/data/image-shards.ts';
import { NORMALIZATION_PRESETS } from '../../src/data/normalization-presets.ts';
import { EnvironmentError, UsageError } from '../../src/diagnostics/errors.ts';
import { classifierSignature } from '../../src/onnx/model-signature.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { normalizationOf } from '../../src/quantization/normalization-choice.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { say, userPath } from '../support/benchmark-program.ts';
import type { Environments } from './environments.ts';

/** A float model that all tools quantize. */
export interface PeerModel {
  readonly name: string;
  readonly path: string;
  readonly digest: string;
  readonly sizePx: number;
  readonly normalization: Normalization;
  /** `grades`: trained on the five grades, so top-1 counts; `other`: real weights, other classes; `random`: structure only. */
  readonly weights: 'grades' | 'other' | 'random';
}

/** In the order of their importance: an interrupted run has measured what matters most. */
const SHARED_MODELS = { mobilenet_v2_idrid: 'grades', mobilenet_v2_imagenet: 'other' } as const;
const EXPORTED_MODELS = [
  'resnet50',
  'resnet18',
  'mobilenet_v3_large',
  'efficientnet_b0',
  'densenet121',
  'inception_v3',
  'alexnet',
] as const;
export const MODEL_NAMES: readonly string[] = [...Object.keys(SHARED_MODELS), ...EXPORTED_MODELS];

export interface CollectOptions {
  readonly shared: string;
  /** Names out of `MODEL_NAMES`. */
  readonly names: readonly string[];
  /** NAME=FILE each: networks trained by drq on the five grades, which record their normalization. */
  readonly trained: readonly string[];
  readonly workFolder: string;
  readonly environments: Environments;
}

/** Finds or exports every model. */
export async function collectModels(options: CollectOptions): Promise<PeerModel[]> {
  const unknown = options.names.filter((name) => !MODEL_NAMES.includes(name));
  if (unknown.length > 0) {
    throw new UsageError({
      code: 'usage/invalid-argument',
      message: `--models: unknown ${unknown.join(', ')}`,
      hint: `known: ${MODEL_NAMES.join(', ')}; others with --model NAME=FILE`,
    });
  }
  const models: PeerModel[] = [];
  for (const text of options.trained) {
    const [name = '', path = ''] = text.split(/=(.*)/s);
    if (name === '' || path === '') {
      throw new UsageError({
        code: 'usage/invalid-argument',
        message: `--model must be NAME=FILE, received "${text}"`,
      });
    }
    models.push(await describe(name, userPath(path), 'grades'));
  }
  for (const name of options.names) {
    if (name in SHARED_MODELS) {
      const weights = SHARED_MODELS[name as keyof typeof SHARED_MODELS];
      models.push(await describe(name, join(options.shared, 'models', `${name}.onnx`), weights));
    } else {
      models.push(await describe(name, await exported(name, options), 'random'));
    }
  }
  return models;
}

async function describe(
  name: string,
  path: string,
  weights: PeerModel['weights'],
): Promise<PeerModel> {
  if (!existsSync(path)) {
    throw new UsageError({ code: 'usage/no-model', message: `model ${name}: no file ${path}` });
  }
  const model = await readOnnx(path);
  const signature = classifierSignature(model, path);
  const isRecorded = model.metadataProps.some(({ key }) => key === 'drq.mean');
  const preset = weights === 'random' ? 'imagenet' : 'tf';
  return {
    name,
    path,
    digest: createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
    sizePx: signature.width ?? (name === 'inception_v3' ? 299 : 224),
    normalization: isRecorded
      ? normalizationOf({}, model)
      : {
          mean: [...NORMALIZATION_PRESETS[preset].mean],
          std: [...NORMALIZATION_PRESETS[preset].std],
        },
    weights,
  };
}

/** A torchvision network with random weights and batch-norm statistics of photographs. */
async function exported(name: string, options: CollectOptions): Promise<string> {
  const folder = join(options.workFolder, 'exported');
  const path = join(folder, `${name}-torchscript.onnx`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const python = await options.environments.pythonOf('export');
  const script = join(packageRoot(), 'test', 'peers', 'export_models.py');
  say(`exporting ${name}`);
  const images = join(options.shared, 'data', 'idrid', 'train');
  const result = await execa(python, [script, folder, images, name], { reject: false });
  if (existsSync(path)) return path;
  throw new EnvironmentError({
    code: 'peers/export-failed',
    message: `${basename(script)} did not export ${name}: ${result.stderr.trim().split('\n').at(-1) ?? ''}`,
  });
}
