import { z } from 'zod';
import { SPLITS } from '../../src/data/dataset-index.ts';

const policy = z.enum(['error', 'exclude', 'warn']);

const splitName = z.enum(SPLITS);

const fraction = z.number().min(0).max(0.9);

const labelFile = z.strictObject({
  file: z.string().min(1).describe('Path of the CSV below the source folder.'),
  split: splitName
    .exactOptional()
    .describe('Split of all its images; without it, splitColumn or the fractions decide.'),
  imageFolder: z
    .string()
    .exactOptional()
    .describe(
      'Folder of its images below the source folder; sub-folders are searched by file name.',
    ),
});

export const ingestParameters = z
  .strictObject({
    layout: z
      .enum(['auto', 'class-folders', 'csv', 'generated'])
      .default('auto')
      .describe(
        'How the source is laid out. auto: class folders below train, validation or test; else label CSV files at the top (one that names images in columns that are not recognised is an error); else label CSV files in folders, where it is clear which images and split each is of (an error where it is not); else class folders; generated when there is no source.',
      ),
    url: z
      .url({ protocol: /^https?$/ })
      .exactOptional()
      .describe('Archive (zip, tar, tar.gz) to download instead of a source input; needs sha256.'),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, 'expected 64 hexadecimal digits')
      .exactOptional()
      .describe('SHA-256 the downloaded archive, or a local one, must have.'),
    csv: z
      .array(labelFile)
      .min(1)
      .exactOptional()
      .describe(
        'Label files, one a split or one for all; without it, every CSV at the top of the source, else those in folders that name its images.',
      ),
    imageColumn: z.string().exactOptional().describe('CSV column of the image; found by its name.'),
    labelColumn: z
      .string()
      .exactOptional()
      .describe(
        'CSV column of the label; found by its name. Where no name is known and all columns but those of image, split and group hold 0 and 1, a single 1 in each row, the column with the 1 names the class.',
      ),
    splitColumn: z
      .string()
      .exactOptional()
      .describe(
        'CSV column of the split, "" for none; by default one called split, set, subset, partition or usage in which nothing but names of splits stands.',
      ),
    groupColumn: z
      .string()
      .exactOptional()
      .describe(
        'CSV column of the group (patient), which no split may divide, "" for none; by default, where groupPattern is not given, one called patient, subject, lesion or group (or their id) with values that are repeated.',
      ),
    groupPattern: z
      .string()
      .exactOptional()
      .describe(
        'Regular expression with one capture on the image path: the captured text is the group (patient).',
      ),
    classes: z
      .array(z.string().min(1))
      .min(1)
      .refine((names) => findRepeated(names) === undefined, {
        error: ({ input }) =>
          `names "${findRepeated(input as string[]) ?? ''}" more than once; give each class one place`,
      })
      .exactOptional()
      .describe(
        'Class names in label order; by default those found, in natural order. Images of others are an error.',
      ),
    validationFraction: fraction
      .default(0.15)
      .describe(
        'Share of the images (of each class) for validation, taken from train where splits are given but validation is not.',
      ),
    testFraction: fraction
      .default(0.15)
      .describe('Share of the images (of each class) for test, where the source gives no splits.'),
    seed: z.int().min(0).default(0).describe('Seed of the splits.'),
    minimumImagesPerClass: z
      .int()
      .min(0)
      .default(2)
      .describe('A class with fewer training images is a finding.'),
    findings: z
      .strictObject({
        unreadable: policy
          .default('error')
          .describe(
            'Images that cannot be decoded, or are larger than limitMegapixels; none can be kept: warn leaves them out as exclude does.',
          ),
        duplicates: policy
          .default('warn')
          .describe('Byte-identical images with one label in one split; exclude keeps the first.'),
        labelConflicts: policy
          .default('exclude')
          .describe(
            'Byte-identical images with different labels; exclude drops them all, but never one of the test split.',
          ),
        leaks: policy
          .default('exclude')
          .describe(
            'Byte-identical images in several splits; exclude keeps those of test, else of validation.',
          ),
        smallClasses: z
          .enum(['error', 'warn'])
          .default('error')
          .describe('Classes with no image, or fewer than minimumImagesPerClass for training.'),
      })
      .prefault({})
      .describe(
        'What follows from each kind of finding: error stops, exclude drops images, warn only tells.',
      ),
    generate: z
      .strictObject({
        imagesPerClass: z
          .strictObject({
            train: z.int().min(1).default(120).describe('Training images of each grade.'),
            validation: z.int().min(0).default(20).describe('Validation images of each grade.'),
            test: z.int().min(0).default(30).describe('Test images of each grade.'),
          })
          .prefault({})
          .describe('How many photographs to draw of each of the seven grades.'),
        sizePx: z.int().min(32).max(4096).default(128).describe('Width and height in pixels.'),
        seed: z.int().min(0).default(0).describe('Seed of the drawings.'),
      })
      .prefault({})
      .describe('The drawn photographs of layout generated.'),
    limitMegapixels: z
      .number()
      .positive()
      .default(268)
      .describe('Larger images are refused from their header, before decoding.'),
    archive: z
      .strictObject({
        maximumEntries: z.int().min(1).default(1_000_000).describe('Most files in the archive.'),
        maximumGigabytes: z
          .number()
          .positive()
          .default(200)
          .describe('Most bytes it may unpack to, and most that are downloaded.'),
      })
      .prefault({})
      .describe('Limits of archives and downloads.'),
  })
  .refine(({ url, sha256 }) => url === undefined || sha256 !== undefined, {
    path: ['sha256'],
    error: 'is required beside url, so that the data are what they were',
  })
  .refine(({ validationFraction, testFraction }) => validationFraction + testFraction < 1, {
    path: ['testFraction'],
    error: 'validationFraction and testFraction leave nothing for training',
  })
  .refine(({ groupPattern }) => groupPattern === undefined || hasOneCapture(groupPattern), {
    path: ['groupPattern'],
    error: 'must be a regular expression with one capture, such as "(P[0-9]+)_"',
  });

export type IngestParameters = z.output<typeof ingestParameters>;

function findRepeated(names: readonly string[]): string | undefined {
  return names.find((name, i) => names.indexOf(name) < i);
}

function hasOneCapture(pattern: string): boolean {
  try {
    // Matching the empty text against "pattern or nothing" tells how many captures there are.
    return new RegExp(`${pattern}|`, 'u').exec('')?.length === 2;
  } catch {
    return false; // the only error RegExp throws is that the pattern is not valid
  }
}
