import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { execa } from 'execa';
import { DrqError } from '../../src/diagnostics/errors.ts';
import { loadWeights } from '../../src/models/load-weights.ts';
import { parameterSpecs, type Network, type NetworkOptions } from '../../src/models/network.ts';
import { readWeightsFile } from '../../src/models/read-weights-file.ts';
import { TORCH_WEIGHTS_FILE, writeWeightsFolder } from '../../src/models/weights-folder.ts';
import { randomWeights, weightOf } from '../../src/models/weights.ts';
import { buildNetwork } from '../../src/models/zoo.ts';
import { createRandom } from '../../src/numeric/random.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { loadTensorflow } from '../../src/runtime/tensorflow.ts';
import { relativeDifference } from '../../src/training/export-checked-onnx.ts';
import { createNetworkRunner } from '../../src/training/network-runner.ts';

/** Of logits here and in PyTorch, over the largest of them, as issue "training" demands. */
export const LARGEST_LOGIT_DIFFERENCE = 1e-4;
const CLASS_COUNT = 5;
const IMAGE_COUNT = 2;
const SEED = 7;

const CASES: readonly (Partial<NetworkOptions> & Pick<NetworkOptions, 'architecture'>)[] = [
  { architecture: 'alexnet' },
  { architecture: 'alexnet', variant: 'paper' },
  { architecture: 'mobilenet-v2' },
  { architecture: 'mobilenet-v2', widthMultiplier: 0.35 },
  { architecture: 'resnet18' },
  { architecture: 'resnet34' },
  { architecture: 'resnet50' },
];

export interface ExchangedWeights {
  readonly name: string;
  readonly tensorCount: number;
  /** max |PyTorch's - ours| / max |ours| over the logits of all images. */
  readonly logitDifference: number;
  /** What PyTorch saved is read here bit for bit as it was written. */
  readonly isReadBack: boolean;
}

export interface WeightsExchange {
  readonly networks: readonly ExchangedWeights[];
  /** What of other tensors and files is not read, or refused, as it should be; empty: nothing. */
  readonly faults: readonly string[];
}

/** Takes random weights of each network to torchvision's as safetensors, and back as a PyTorch file. */
export async function exchangeWeights(
  python: string,
  folder: string,
  say: (line: string) => void,
): Promise<WeightsExchange> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await installSafetensors(python);
  const cases: ExchangeCase[] = [];
  for (const [i, options] of CASES.entries()) {
    cases.push(await writeCase(options, join(folder, String(i)), i));
    say(`${cases.at(-1)?.name ?? ''}: written for PyTorch`);
  }
  const views = join(folder, 'views');
  const unsafe = join(folder, 'unsafe.pth');
  const settings = join(folder, 'settings.json');
  await writeFile(settings, JSON.stringify({ cases: cases.map(settingsOf), views, unsafe }));
  const script = join(packageRoot(), 'test', 'peers', 'exchange_weights.py');
  const { stdout } = await execa(python, [script, settings]);
  const theirs = JSON.parse(stdout) as Record<string, number[]>; // our own script's answer
  const networks: ExchangedWeights[] = [];
  for (const each of cases) networks.push(await compareCase(each, theirs[each.name] ?? []));
  const faults = [...(await viewFaults(views)), ...(await unsafeFaults(unsafe))];
  await rm(folder, { recursive: true, force: true }); // a gigabyte of weights
  return { networks, faults };
}

interface ExchangeCase {
  readonly name: string;
  readonly network: Network;
  readonly folder: string;
  readonly isCheckpoint: boolean;
  /** Made again from it rather than held. */
  readonly seed: number;
  readonly logits: Float32Array;
}

async function writeCase(
  changes: (typeof CASES)[number],
  folder: string,
  position: number,
): Promise<ExchangeCase> {
  const network = buildNetwork({
    ...{ variant: 'torchvision', widthMultiplier: 1, padding: 'torch', batchNorm: 'standard' },
    ...{ dropout: 0.5, classCount: CLASS_COUNT, imageSize: 224 },
    ...changes,
  });
  const seed = SEED + position;
  const weights = randomNetworkWeights(network, seed);
  await mkdir(folder, { recursive: true });
  await writeWeightsFolder(folder, network, weights, {
    classes: Array.from({ length: CLASS_COUNT }, (_, i) => String(i)),
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
  });
  const { imageSize, architecture, variant, widthMultiplier } = network.options;
  const random = createRandom(seed, 'images');
  const images = Float32Array.from({ length: IMAGE_COUNT * 3 * imageSize ** 2 }, () =>
    random.normal(),
  );
  await writeFile(join(folder, 'images.f32'), new Uint8Array(images.buffer));
  const detail = architecture === 'alexnet' ? ` ${variant}` : '';
  const width = widthMultiplier === 1 ? '' : ` ${widthMultiplier}`;
  return {
    ...{ network, folder, seed, name: `${architecture}${detail}${width}` },
    // One of them as training scripts save it, beside epoch and optimizer.
    isCheckpoint: width !== '',
    logits: await logitsOf(network, weights, images),
  };
}

/** He's weights; biases, batch norms and their statistics away from the zeros and ones they start as. */
function randomNetworkWeights(network: Network, seed: number): Map<string, Float32Array> {
  const weights = randomWeights(network, seed, 'he');
  for (const { name, role } of parameterSpecs(network)) {
    if (role === 'weight') continue;
    const random = createRandom(seed, name);
    const change = (): number => 0.2 * random.next();
    weights.set(
      name,
      weightOf(weights, name).map((value) => value + change()),
    );
  }
  return weights;
}

async function logitsOf(
  network: Network,
  weights: Map<string, Float32Array>,
  imagesNchw: Float32Array,
): Promise<Float32Array> {
  const tf = await loadTensorflow();
  const runner = createNetworkRunner(tf, network, weights);
  const size = network.options.imageSize;
  const logits = tf.tidy(() => {
    const images = tf.tensor4d(imagesNchw, [IMAGE_COUNT, 3, size, size]);
    return runner.predict(images.transpose([0, 2, 3, 1])).dataSync<'float32'>(); // [N, 3, H, W] → [N, H, W, 3]
  });
  runner.dispose();
  return Float32Array.from(logits);
}

function settingsOf({ name, network, folder, isCheckpoint }: ExchangeCase): object {
  return {
    ...{ ...network.options, name, isCheckpoint },
    weights: join(folder, TORCH_WEIGHTS_FILE),
    images: join(folder, 'images.f32'),
    saved: join(folder, 'saved.pth'),
  };
}

async function compareCase(
  each: ExchangeCase,
  theirs: readonly number[],
): Promise<ExchangedWeights> {
  const { name, network, folder, seed, logits } = each;
  const { weights, replaced } = await loadWeights(network, join(folder, 'saved.pth'), 0);
  const written = randomNetworkWeights(network, seed);
  return {
    name,
    tensorCount: written.size,
    logitDifference: relativeDifference(logits, theirs),
    isReadBack: replaced.length === 0 && isDeepStrictEqual(weights, written),
  };
}

/** The same tensors as PyTorch's own views and, in order and in float32, as safetensors. */
async function viewFaults(path: string): Promise<string[]> {
  const { tensors: expected } = await readWeightsFile(`${path}.safetensors`);
  const { tensors: actual } = await readWeightsFile(`${path}.pth`);
  return [...new Set([...expected.keys(), ...actual.keys()])]
    .filter((name) => !isDeepStrictEqual(actual.get(name), expected.get(name)))
    .map((name) => `views.pth: "${name}" is read otherwise than PyTorch holds it`);
}

async function unsafeFaults(path: string): Promise<string[]> {
  let outcome = 'it was read';
  try {
    await readWeightsFile(path);
  } catch (error) {
    if (!(error instanceof DrqError)) throw error;
    outcome = error.code;
  }
  const isExecuted = existsSync(`${path}.executed`);
  if (outcome === 'models/unsafe-pickle' && !isExecuted) return [];
  return [`unsafe.pth: ${outcome}${isExecuted ? ', and its command was run' : ''}`];
}

async function installSafetensors(python: string): Promise<void> {
  const { exitCode } = await execa(python, ['-c', 'import safetensors'], { reject: false });
  if (exitCode === 0) return;
  await execa(python, ['-m', 'pip', 'install', '--quiet', 'safetensors'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
