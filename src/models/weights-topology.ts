import { z } from 'zod';
import { DataError } from '../diagnostics/errors.ts';
import { ARCHITECTURES, type Network } from './network.ts';

const networkOptionsSchema = z.strictObject({
  architecture: z.enum(ARCHITECTURES),
  variant: z.enum(['paper', 'torchvision']),
  widthMultiplier: z.number(),
  padding: z.enum(['torch', 'same']),
  batchNorm: z.enum(['standard', 'none']),
  dropout: z.number(),
  classCount: z.int().min(1),
  imageSize: z.int().min(1),
});

const channelsSchema = z.tuple([z.number(), z.number(), z.number()]);

/** What is recorded beside trained weights: the network, the names of its outputs, and its pixels. */
export const weightsTopologySchema = z.strictObject({
  network: networkOptionsSchema,
  classes: z.array(z.string()),
  normalization: z.strictObject({ mean: channelsSchema, std: channelsSchema }),
});
export type WeightsTopology = z.infer<typeof weightsTopologySchema>;

/** The topology as metadata of safetensors, which are texts. */
export function topologyMetadata({
  network,
  classes,
  normalization,
}: WeightsTopology): Record<string, string> {
  return {
    'drq.network': JSON.stringify(network),
    'drq.classes': JSON.stringify(classes),
    'drq.mean': JSON.stringify(normalization.mean),
    'drq.std': JSON.stringify(normalization.std),
  };
}

/**
 * What `topologyMetadata` wrote; null for files of other programs, whatever their metadata are.
 * @throws DataError `models/malformed-weights` when it can no longer be read.
 */
export function topologyOfMetadata(
  metadata: Readonly<Record<string, string>>,
  path: string,
): WeightsTopology | null {
  if (metadata['drq.network'] === undefined) return null;
  const json = (name: string): unknown => jsonOf(metadata[`drq.${name}`], `drq.${name}`, path);
  const parsed = weightsTopologySchema.safeParse({
    network: json('network'),
    classes: json('classes'),
    normalization: { mean: json('mean'), std: json('std') },
  });
  if (parsed.success) return parsed.data;
  throw malformed(path, `are not those of a train stage: ${z.prettifyError(parsed.error)}`);
}

/**
 * A smaller ResNet would find all that it needs in a larger one.
 * @throws DataError `models/other-architecture`
 */
export function requireArchitecture(network: Network, topology: WeightsTopology): void {
  const { architecture } = network.options;
  if (topology.network.architecture === architecture) return;
  throw new DataError({
    code: 'models/other-architecture',
    message: `the weights are of ${topology.network.architecture}, the network to train is ${architecture}`,
    hint: 'give the weights of a training of the same architecture, or leave the input "weights" out',
  });
}

function jsonOf(text: string | undefined, name: string, path: string): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch (cause) {
    throw malformed(path, `hold "${name}", which is not JSON`, cause);
  }
}

function malformed(path: string, what: string, cause?: unknown): DataError {
  return new DataError({
    code: 'models/malformed-weights',
    message: `the metadata of ${path} ${what}`,
    hint: 'give the file as the train stage wrote it, or save its tensors without metadata',
    cause,
  });
}
