import type { Finding } from '../../src/data/dataset-findings.ts';
import type { LabelledDataset } from './labelled-dataset.ts';
import type { IngestParameters } from './parameters.ts';

/** Class folders without images, and classes with fewer training images than asked for. */
export function findSmallClasses(options: {
  readonly classes: LabelledDataset['classes'];
  readonly images: LabelledDataset['images'];
  readonly emptyClasses: readonly string[];
  readonly parameters: IngestParameters;
}): Finding[] {
  const { classes, images, emptyClasses, parameters } = options;
  const action = parameters.findings.smallClasses;
  const least = parameters.minimumImagesPerClass;
  const empty = emptyClasses.map((folder): Finding => ({
    kind: 'small-class',
    message: `class folder ${folder} has no image`,
    action,
  }));
  const small = classes.flatMap((name, label): Finding[] => {
    const count = images.filter((image) => image.label === label && image.split === 'train').length;
    if (count >= least) return [];
    return [
      {
        kind: 'small-class',
        message: `class ${name} has ${count} training image(s), at least ${least} expected (minimumImagesPerClass)`,
        action,
      },
    ];
  });
  return [...empty, ...small];
}
