import { SPLITS } from '../../src/data/dataset-index.ts';
import type { Finding, FindingKind } from '../../src/data/dataset-findings.ts';
import { writeMetricsFile, type MetricValue } from '../../src/stage/metrics-file.ts';
import type { LabelledDataset } from './labelled-dataset.ts';

/** Findings of one kind shown by name; the rest are counted. */
const SHOWN_FINDINGS = 200;

const COUNTED: readonly (readonly [FindingKind, string])[] = [
  ['unreadable', 'unreadableCount'],
  ['duplicate', 'duplicateCount'],
  ['label-conflict', 'labelConflictCount'],
  ['leak', 'leakCount'],
  ['near-duplicate', 'nearDuplicateCount'],
  ['small-class', 'smallClassCount'],
];

export interface IngestReport {
  readonly dataset: LabelledDataset;
  readonly findings: readonly Finding[];
  /** What to know of how the images came about. */
  readonly notes: readonly string[];
}

/** Writes counts by split and class, the number of findings of each kind, and the findings. */
export async function writeReport(path: string, report: IngestReport): Promise<void> {
  const { dataset, findings, notes } = report;
  const count = (name: string, value: number): MetricValue => ({
    name,
    value,
    unit: 'images',
    direction: 'neutral',
  });
  const ofSplit = (split: string): number =>
    dataset.images.filter((image) => image.split === split).length;
  const kinds = [...new Set(findings.map((finding) => finding.kind))].sort();
  await writeMetricsFile(path, {
    values: [
      ...SPLITS.map((split) => count(`${split}ImageCount`, ofSplit(split))),
      { name: 'classCount', value: dataset.classes.length, unit: '', direction: 'neutral' },
      ...COUNTED.map(([kind, name]): MetricValue => ({
        name,
        value: findings.filter((finding) => finding.kind === kind).length,
        unit: '',
        direction: 'neutral',
      })),
    ],
    notes: [...notes],
    details: {
      imagesByClass: countByClass(dataset),
      findings: Object.fromEntries(
        kinds.map((kind) => {
          const ofKind = findings.filter((finding) => finding.kind === kind);
          return [
            kind,
            {
              count: ofKind.length,
              shown: ofKind.slice(0, SHOWN_FINDINGS).map(({ message, action }) => ({
                message,
                action,
              })),
            },
          ];
        }),
      ),
    },
  });
}

function countByClass({
  classes,
  images,
}: LabelledDataset): Record<string, Record<string, number>> {
  return Object.fromEntries(
    SPLITS.map((split) => [
      split,
      Object.fromEntries(
        classes.map((name, label) => [
          name,
          images.filter((image) => image.split === split && image.label === label).length,
        ]),
      ),
    ]),
  );
}
