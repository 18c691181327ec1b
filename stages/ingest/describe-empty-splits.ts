import { SPLITS, type DatasetImage, type Split } from '../../src/data/dataset-index.ts';
import type { IngestParameters } from './parameters.ts';

type Fractions = Pick<IngestParameters, 'validationFraction' | 'testFraction'>;

const PARAMETER_OF = { validation: 'validationFraction', test: 'testFraction' } as const;

/**
 * What to say on each split that was to get a share of the images and got none, and on a test split
 * that the source does not give; `givenSplits` are those of the source, empty where it gives none.
 */
export function describeEmptySplits(
  images: readonly DatasetImage[],
  givenSplits: ReadonlySet<Split>,
  parameters: Fractions,
): string[] {
  const unmade = describeMissingTest(givenSplits);
  if (unmade !== null) return [unmade, ...describeEmptyShares(images, givenSplits, parameters)];
  return describeEmptyShares(images, givenSplits, parameters);
}

/** Unlike validation, test is never taken from train: a published split would not be the same. */
function describeMissingTest(givenSplits: ReadonlySet<Split>): string | null {
  if (givenSplits.size === 0 || givenSplits.has('test')) return null;
  const instead = givenSplits.has('validation')
    ? 'set their parameter split to validation, or give'
    : 'give';
  return `the source gives splits (${SPLITS.filter((split) => givenSplits.has(split)).join(', ')}) but no labelled image of test, and test is not taken from another: stages that score a model on test, which is their default, will fail once it is trained; ${instead} the source images for test, as test/CLASS/IMAGE or by a CSV`;
}

function describeEmptyShares(
  images: readonly DatasetImage[],
  givenSplits: ReadonlySet<Split>,
  parameters: Fractions,
): string[] {
  const shared: readonly Split[] = givenSplits.size === 0 ? SPLITS : ['train', 'validation'];
  const pool = images.filter(({ split }) => shared.includes(split));
  if (pool.length === 0 || givenSplits.has('validation')) return [];
  const largest = countLargestClass(pool);
  return (['validation', 'test'] as const).flatMap((split) => {
    const fraction = parameters[PARAMETER_OF[split]];
    const isWanted = shared.includes(split) && fraction > 0;
    if (!isWanted || pool.some((image) => image.split === split)) return [];
    const least = Math.ceil(0.5 / fraction); // shares are rounded
    const reason =
      largest < least
        ? `each class is shared out on its own, and gives one from ${least} images on, but the largest has ${largest}`
        : 'groups and equal images stay together, and none of them fits its share';
    return [
      `${split} gets no image though ${PARAMETER_OF[split]} is ${fraction}: ${reason}; add images, raise the fraction, or set it to 0 if the split is not wanted`,
    ];
  });
}

function countLargestClass(images: readonly DatasetImage[]): number {
  const counts = new Map<number, number>();
  let largest = 0;
  for (const { label } of images) {
    const count = (counts.get(label) ?? 0) + 1;
    counts.set(label, count);
    largest = Math.max(largest, count);
  }
  return largest;
}
