import type { ImageShards } from '../../src/data/image-shards.ts';
import { StageError } from '../../src/diagnostics/errors.ts';
import type { OnnxModel } from '../../src/onnx/model.ts';
import { recordedList } from '../../src/onnx/recorded-list.ts';
import { recordedNormalization } from '../../src/quantization/normalization-choice.ts';

/** Of float32 numbers that were written and read again. */
const TOLERANCE = 1e-5;

/**
 * What a model that drq exported records of its training, against the images it is to be scored on: the
 * warnings to give. Files of other programs record nothing.
 * @throws StageError `evaluate/class-order` for the same classes in another order, which no score survives
 */
export function checkRecorded(
  model: OnnxModel,
  { classes, normalization }: Pick<ImageShards, 'classes' | 'normalization'>,
  { path, readsPixels }: { readonly path: string; readonly readsPixels: boolean },
): string[] {
  const warnings: string[] = [];
  const trained = recordedList(model, 'drq.classes')?.map(String) ?? null;
  if (trained !== null && trained.length === classes.length) {
    const isSame = trained.every((name, i) => name === classes[i]);
    if (!isSame && [...trained].sort().join('\n') === [...classes].sort().join('\n')) {
      throw new StageError({
        code: 'evaluate/class-order',
        message: `${path} was trained on the classes ${listed(trained)}, the dataset has them in another order: ${listed(classes)}`,
        hint: `set the ingest stage's "classes" to [${trained.join(', ')}]`,
      });
    }
    if (!isSame) {
      warnings.push(
        `${path} was trained on the classes ${listed(trained)}, the dataset has ${listed(classes)}: the first is taken for the first, and so on`,
      );
    }
  }
  const recorded = recordedNormalization(model);
  if (recorded !== null && !readsPixels) {
    const [was, is] = [recorded, normalization].map(({ mean, std }) => [...mean, ...std]);
    if (was!.some((value, i) => !(Math.abs(value - is![i]!) <= TOLERANCE))) {
      warnings.push(
        `${path} was trained on images normalized by mean [${recorded.mean.join(', ')}] and std [${recorded.std.join(', ')}], these are by mean [${normalization.mean.join(', ')}] and std [${normalization.std.join(', ')}]: give the augment stage the former as "normalization"`,
      );
    }
  }
  return warnings;
}

const MOST_SHOWN = 8;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_SHOWN).map((name) => `"${name}"`);
  return [...shown, ...(names.length > MOST_SHOWN ? ['…'] : [])].join(', ');
}
