import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { isReplaceable } from './is-replaceable.ts';
import { elementCount, parameterSpecs, type Network } from './network.ts';
import { negativeVariance } from './negative-variance.ts';
import { torchStateDict } from './torch-weights.ts';
import { initialValues, weightOf, type WeightLookup } from './weights.ts';
import {
  requireArchitecture,
  topologyMetadata,
  weightsTopologySchema,
  type WeightsTopology,
} from './weights-topology.ts';
import { writeSafetensors } from './write-safetensors.ts';

const WEIGHTS_FILE = 'weights.bin';
/** The same weights for PyTorch; not read here. */
export const TORCH_WEIGHTS_FILE = 'model.safetensors';

/** `model.json`, laid out as tf.io's; `modelTopology` is ours, since the network is no tf.layers model. */
const modelJsonSchema = z.strictObject({
  format: z.literal('drq-network'),
  generatedBy: z.string(),
  modelTopology: weightsTopologySchema,
  weightsManifest: z.tuple([
    z.strictObject({
      paths: z.tuple([z.literal(WEIGHTS_FILE)]),
      weights: z.array(
        z.strictObject({
          name: z.string(),
          shape: z.array(z.int().min(0)),
          dtype: z.literal('float32'),
        }),
      ),
    }),
  ]),
});
export type WeightsDetails = Omit<WeightsTopology, 'network'>;

/**
 * Writes a `model/tfjs` artifact: `model.json` and `weights.bin` (float32, little-endian, in order), and
 * beside them `model.safetensors`, the state_dict of torchvision's network.
 */
export async function writeWeightsFolder(
  folder: string,
  network: Network,
  weights: WeightLookup,
  details: WeightsDetails,
): Promise<void> {
  const specs = parameterSpecs(network);
  const modelJson: z.infer<typeof modelJsonSchema> = {
    format: 'drq-network',
    generatedBy: 'drq',
    modelTopology: { network: network.options, ...details },
    weightsManifest: [
      {
        paths: [WEIGHTS_FILE],
        weights: specs.map(({ name, shape }) => ({ name, shape: [...shape], dtype: 'float32' })),
      },
    ],
  };
  await writeFile(join(folder, 'model.json'), `${JSON.stringify(modelJson, null, 2)}\n`);
  const file = await open(join(folder, WEIGHTS_FILE), 'w');
  try {
    for (const { name } of specs) {
      const data = weightOf(weights, name);
      await file.writeFile(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  } finally {
    await file.close();
  }
  await writeTorchWeights(join(folder, TORCH_WEIGHTS_FILE), network, weights, details);
}

/**
 * Writes a network's state_dict as safetensors. Their metadata are texts; `format: pt` is what PyTorch's
 * readers expect.
 */
export async function writeTorchWeights(
  path: string,
  network: Network,
  weights: WeightLookup,
  details: WeightsDetails,
): Promise<void> {
  await writeSafetensors(path, torchStateDict(network, weights), {
    format: 'pt',
    ...topologyMetadata({ network: network.options, ...details }),
  });
}

export interface FolderWeights {
  readonly topology: WeightsTopology;
  readonly tensors: ReadonlyMap<
    string,
    { readonly shape: readonly number[]; readonly data: Float32Array }
  >;
}

/** @throws DataError `models/malformed-weights` when the folder does not hold complete weights. */
export async function readWeightsFolder(folder: string): Promise<FolderWeights> {
  const { modelTopology, weightsManifest } = parseModelJson(
    await readPart(folder, 'model.json'),
    folder,
  );
  const bytes = await readPart(folder, WEIGHTS_FILE);
  const entries = weightsManifest[0].weights;
  const expected = entries.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  if (bytes.byteLength !== expected) {
    throw malformed(
      folder,
      `${WEIGHTS_FILE} holds ${bytes.byteLength} bytes, model.json describes ${expected}`,
    );
  }
  // A copy begins at offset 0, where float32 may be read.
  const buffer = new Uint8Array(bytes).buffer;
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  let offset = 0;
  for (const { name, shape } of entries) {
    const data = new Float32Array(buffer, offset, elementCount(shape));
    if (data.some((value) => !Number.isFinite(value))) {
      throw malformed(folder, `"${name}" holds values that are not finite`);
    }
    tensors.set(name, { shape, data });
    offset += data.byteLength;
  }
  return { topology: modelTopology, tensors };
}

/**
 * Weights of an earlier training for `network`; the head is drawn anew when the class count differs, and
 * AlexNet's first dense layer when the image size or the variant does.
 * @throws DataError `models/other-architecture`, `models/wrong-shape`, and `models/malformed-weights` for a
 * negative variance.
 */
export function weightsFromFolder(
  network: Network,
  { tensors, topology }: FolderWeights,
  seed: number,
): { weights: Map<string, Float32Array>; replaced: string[] } {
  const weights = new Map<string, Float32Array>();
  const replaced: string[] = [];
  requireArchitecture(network, topology);
  for (const spec of parameterSpecs(network)) {
    const stored = tensors.get(spec.name);
    if (stored?.shape.join() === spec.shape.join()) {
      const problem = negativeVariance(spec, stored.data);
      if (problem !== null) {
        throw new DataError({
          code: 'models/malformed-weights',
          message: `the weights of ${topology.network.architecture} are damaged: "${spec.name}" ${problem}`,
          hint: 'run the train stage that they come from again',
        });
      }
      weights.set(spec.name, stored.data);
    } else if (isReplaceable(network, spec)) {
      replaced.push(spec.name);
      weights.set(spec.name, initialValues(network, spec, seed));
    } else {
      throw new DataError({
        code: 'models/wrong-shape',
        message: `the weights are of ${topology.network.architecture} with other options: "${spec.name}" has shape [${stored?.shape.join(', ') ?? 'none'}], expected [${spec.shape.join(', ')}]`,
        hint: 'use the same architecture, variant, widthMultiplier and batchNorm as the training the weights come from',
      });
    }
  }
  return { weights, replaced };
}

async function readPart(folder: string, name: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, name));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw malformed(folder, `it holds no ${name}`, cause);
  }
}

function parseModelJson(bytes: Buffer, folder: string): z.infer<typeof modelJsonSchema> {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw malformed(folder, 'model.json is not JSON', cause);
  }
  const parsed = modelJsonSchema.safeParse(json);
  if (!parsed.success) {
    throw malformed(folder, `model.json: ${z.prettifyError(parsed.error)}`, parsed.error);
  }
  return parsed.data;
}

function malformed(folder: string, reason: string, cause?: unknown): DataError {
  return new DataError({
    code: 'models/malformed-weights',
    message: `${folder} does not hold the weights of a train stage: ${reason}`,
    hint: 'give the "weights" output of a train stage, a safetensors file or a PyTorch file',
    cause,
  });
}
