import { defineStage } from '../../src/stage/definition.ts';
import { writeDatasetIndex } from '../../src/data/write-dataset.ts';
import { UsageError } from '../../src/diagnostics/errors.ts';
import { generateDataset } from './generate-dataset.ts';
import { importDataset } from './import-dataset.ts';
import { openSource } from './open-source.ts';
import { ingestParameters, type IngestParameters } from './parameters.ts';
import { writeReport } from './report.ts';

export const ingest = defineStage({
  kind: 'ingest',
  version: 5,
  description:
    'Makes a dataset of labelled images with splits, from class folders, a CSV, an archive, or drawn by the program; finds duplicates, leaks, conflicting labels and unreadable files.',
  parameters: ingestParameters,
  inputs: {
    source: {
      kinds: ['file', 'folder'],
      optional: true,
      description:
        'A folder of images, a CSV, or a zip or tar.gz archive; drawn images without it.',
    },
  },
  outputs: {
    dataset: { kind: 'dataset', description: 'The images with labels and splits.' },
    report: { kind: 'metrics', description: 'Counts by class and split, and every finding.' },
  },
  runtimes: ['sharp'],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 'all',
  isolation: 'in-process',
  async run(context) {
    // Declared above, so the engine has made it.
    const folder = context.outputs['dataset']!;
    const source = await openSource(context);
    checkLayout(context.parameters, source !== null);
    const { dataset, findings, notes } =
      source === null
        ? { dataset: await generateDataset(context, folder), findings: [], notes: [GENERATED] }
        : await importDataset(context, source, folder);
    await writeDatasetIndex(folder, dataset);
    await writeReport(context.outputs['report']!, { dataset, findings, notes });
  },
});

const GENERATED =
  'The images are drawn by the program; figures on them say nothing about patients.';

/** A layout that asks for a source, or for none, must match what is given. */
function checkLayout({ layout }: IngestParameters, hasSource: boolean): void {
  if (layout === 'auto' || (layout === 'generated') !== hasSource) return;
  throw new UsageError({
    code: 'data/layout-mismatch',
    message: hasSource
      ? 'layout generated draws its images, but a source is given'
      : `layout ${layout} needs a source, but none is given`,
    hint: hasSource ? 'leave the source out, or set layout: auto' : 'add the input source',
  });
}
