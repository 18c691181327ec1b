import { assignSplits } from '../../src/data/assign-splits.ts';
import type { Split } from '../../src/data/dataset-index.ts';
import { DataError } from '../../src/diagnostics/errors.ts';
import type { OpenedImage } from './check-images.ts';
import type { IngestParameters } from './parameters.ts';

/**
 * The split of every image: as given; validation taken from train where it is not given; or all three
 * shared out. Groups and byte-identical images stay together in what is shared out.
 */
export function chooseSplits(
  images: readonly OpenedImage[],
  labels: ReadonlyMap<string, number>,
  parameters: IngestParameters,
): ReadonlyMap<string, Split> {
  const given = new Map<string, Split>();
  for (const { id, split } of images) if (split !== undefined) given.set(id, split);
  const { validationFraction, testFraction, seed } = parameters;
  const share = (
    members: readonly OpenedImage[],
    fractions: Readonly<Partial<Record<Split, number>>>,
  ): Map<string, Split> =>
    assignSplits({
      seed,
      fractions,
      images: members.map(({ id, sha256, group }) => ({
        id,
        label: labels.get(id) ?? 0, // every image has a label by now
        ties: [`sha256/${sha256}`, ...(group === undefined ? [] : [`group/${group}`])],
      })),
    });
  if (given.size === 0) {
    const train = 1 - validationFraction - testFraction;
    return share(images, { train, validation: validationFraction, test: testFraction });
  }
  if (given.size < images.length) throw halfGiven(images.length - given.size);
  if (validationFraction === 0 || [...given.values()].includes('validation')) return given;
  const training = images.filter((image) => given.get(image.id) === 'train');
  const fractions = { train: 1 - validationFraction, validation: validationFraction };
  return new Map([...given, ...share(training, fractions)]);
}

function halfGiven(missingCount: number): DataError {
  return new DataError({
    code: 'data/unknown-split',
    message: `${missingCount} image(s) have no split while others do`,
    hint: 'give every CSV a split, or none; splitColumn: "" leaves columns of splits aside',
  });
}
