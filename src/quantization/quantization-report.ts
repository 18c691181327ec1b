import type { FloatNode } from './mark-graph.ts';
import type { OptimizedGraph } from './optimized-graph.ts';
import type { QuantizationPlan } from './quantization-plan.ts';

export interface QuantizationReportInput {
  readonly plan: QuantizationPlan;
  readonly optimized: OptimizedGraph;
  readonly floatSizeBytes: number;
  readonly sizeBytes: number;
  readonly biasCorrection: 'local' | 'none';
}

/** What a quantization did, as metrics and as Markdown. */
export function makeQuantizationReport(input: QuantizationReportInput) {
  const { plan, optimized, floatSizeBytes, sizeBytes, biasCorrection } = input;
  const layers = plan.layers.map(({ name, weight }) => ({
    node: name,
    // JSON has no infinity; null means that no weight was rounded.
    weightSqnrDb: Number.isFinite(weight.sqnrDb) ? weight.sqnrDb : null,
  }));
  const floatOperators = optimized.floatNodes.map((node) => ({ ...node }));
  const metrics = {
    values: [
      metric('sizeBytes', sizeBytes, 'bytes', 'lower-is-better'),
      metric('floatSizeBytes', floatSizeBytes, 'bytes', 'neutral'),
      metric('sizeRatio', floatSizeBytes / sizeBytes, 'ratio', 'higher-is-better'),
      metric('quantizedLayerCount', plan.layers.length, '', 'neutral'),
      metric('floatOperatorCount', floatOperators.length, '', 'lower-is-better'),
      metric('biasCorrection', biasCorrection, '', 'neutral'),
    ],
    notes: [],
    details: { operators: { ...optimized.operators }, floatOperators, layers },
  };
  return { metrics, markdown: toMarkdown(input, layers) };
}

function metric<
  Unit extends 'bytes' | 'ratio' | '',
  Direction extends 'higher-is-better' | 'lower-is-better' | 'neutral',
>(name: string, value: number | string, unit: Unit, direction: Direction) {
  return { name, value, unit, direction };
}

function toMarkdown(
  { optimized, floatSizeBytes, sizeBytes, biasCorrection }: QuantizationReportInput,
  layers: readonly { readonly node: string; readonly weightSqnrDb: number | null }[],
): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
  const ratio = (floatSizeBytes / sizeBytes).toFixed(2);
  return [
    '# Quantization',
    '',
    `Size ${megabytes(floatSizeBytes)} MB → ${megabytes(sizeBytes)} MB (${ratio} times smaller), bias correction: ${biasCorrection}.`,
    '',
    '## Operators as onnxruntime runs them',
    '',
    '| operator | count |',
    '| --- | ---: |',
    ...Object.entries(optimized.operators).map(([name, count]) => `| ${name} | ${count} |`),
    '',
    '## Operators that stayed in float',
    '',
    ...floatRows(optimized.floatNodes),
    '',
    '## Signal to quantization noise of weights',
    '',
    '| layer | dB |',
    '| --- | ---: |',
    ...layers.map(
      ({ node, weightSqnrDb }) => `| ${node} | ${weightSqnrDb?.toFixed(1) ?? 'exact'} |`,
    ),
    '',
  ].join('\n');
}

function floatRows(nodes: readonly FloatNode[]): string[] {
  if (nodes.length === 0) return ['None.'];
  return [
    '| node | operator | reason |',
    '| --- | --- | --- |',
    ...nodes.map(({ node, operator, reason }) => `| ${node} | ${operator} | ${reason} |`),
  ];
}
