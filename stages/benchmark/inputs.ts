import { SPLITS } from '../../src/data/dataset-index.ts';
import { imageByteCount, openShardReader } from '../../src/data/image-shards.ts';
import { toNetworkInput, type InputForm, type NetworkInput } from '../../src/data/network-input.ts';
import { SUBJECTS, type Subject } from '../../src/benchmark/protocol.ts';
import { StageError } from '../../src/diagnostics/errors.ts';
import type { Random } from '../../src/numeric/random.ts';
import type { ClassifierSignature } from '../../src/onnx/model-signature.ts';

export interface BenchmarkInputs {
  /** One image each, the same ones for both models, each in the form the model takes. */
  readonly inputs: Readonly<Record<Subject, readonly NetworkInput[]>>;
  readonly source: 'photographs' | 'random';
}

/** Several, so that no input sits in the caches for long; run n of both models takes the same one. */
const INPUT_COUNT = 8;

/** Uniform in [0, 1), as the published experiment's `torch.rand`; bytes for models of pixels. */
export function randomInputs(
  { height, width }: { readonly height: number; readonly width: number },
  forms: Readonly<Record<Subject, InputForm>>,
  random: Random,
): BenchmarkInputs {
  const valueCount = 3 * height * width;
  const images = Array.from({ length: INPUT_COUNT }, () =>
    Float32Array.from({ length: valueCount }, () => random.next()),
  );
  const inputsOf = ({ type, layout }: InputForm): NetworkInput[] =>
    images.map((values) => ({
      data: type === 'float32' ? values : Uint8Array.from(values, (value) => value * 256),
      dims: layout === 'nchw' ? [1, 3, height, width] : [1, height, width, 3],
    }));
  const inputs = { baseline: inputsOf(forms.baseline), model: inputsOf(forms.model) };
  return { inputs, source: 'random' };
}

/** Photographs as each model takes them: the first distinct ones of the last split that has any. */
export async function photographInputs(
  shardsPath: string,
  forms: Readonly<Record<Subject, InputForm>>,
): Promise<BenchmarkInputs> {
  const reader = await openShardReader(shardsPath);
  try {
    const { shards } = reader;
    const split = SPLITS.findLast((name) => shards.splits[name].entries.length > 0);
    if (split === undefined) {
      throw new StageError({
        code: 'benchmark/no-images',
        message: 'the images given for timing hold no image in any split',
        hint: 'leave the input "images" out to time random inputs',
      });
    }
    const positions = shards.splits[split].entries.flatMap(({ copy }, i) =>
      copy === 0 ? [i] : [],
    );
    const inputs: Record<Subject, NetworkInput[]> = { baseline: [], model: [] };
    for (const position of positions.slice(0, INPUT_COUNT)) {
      const pixelsNhwc = new Uint8Array(imageByteCount(shards));
      await reader.read(split, position, pixelsNhwc);
      for (const subject of SUBJECTS) {
        inputs[subject].push(
          toNetworkInput({ ...shards, pixelsNhwc, imageCount: 1 }, forms[subject]),
        );
      }
    }
    return { inputs, source: 'photographs' };
  } finally {
    await reader.close();
  }
}

/** The image size both models take. @throws StageError when they differ or it is not fixed. */
export function commonSize(
  signatures: Readonly<Record<'baseline' | 'model', ClassifierSignature>>,
  given: { readonly height: number; readonly width: number } | null,
): { height: number; width: number } {
  const { baseline, model } = signatures;
  const height = given?.height ?? model.height ?? baseline.height;
  const width = given?.width ?? model.width ?? baseline.width;
  if (height === null || width === null) {
    throw new StageError({
      code: 'benchmark/dynamic-size',
      message: 'neither model has a fixed image size, so random inputs cannot be made',
      hint: 'give the stage the input "images", whose size is then used',
    });
  }
  for (const [subject, signature] of Object.entries(signatures)) {
    requireFit(subject, signature, { height, width });
  }
  return { height, width };
}

function requireFit(
  subject: string,
  signature: ClassifierSignature,
  { height, width }: { height: number; width: number },
): void {
  if ((signature.height ?? height) !== height || (signature.width ?? width) !== width) {
    throw new StageError({
      code: 'benchmark/input-size',
      message: `the ${subject} takes images of ${signature.width ?? 'any'} x ${signature.height ?? 'any'} pixels, the timed inputs have ${width} x ${height}`,
      hint: 'time two models of one input size, on images of that size',
    });
  }
  if ((signature.batchSize ?? 1) !== 1) {
    throw new StageError({
      code: 'benchmark/batch-size',
      message: `the ${subject} has the fixed batch size ${signature.batchSize}; latency is timed at batch size 1`,
      hint: 'export it with a dynamic batch dimension',
    });
  }
}
