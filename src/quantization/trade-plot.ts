import { renderChart } from '../runtime/render-chart.ts';
import { counted } from './counted.ts';
import type { MixedPrecision, TradeStep } from './mixed-precision.ts';

/** The trade between accuracy and latency as an SVG document; each point says how many layers are float. */
export function plotTrade({
  steps,
  chosen,
  budgetPoints,
}: Omit<MixedPrecision, 'quantized'>): Promise<string> {
  const top1Percent = ({ fidelity }: TradeStep): number =>
    100 * (fidelity.accuracy?.top1Fraction ?? 0);
  const points = steps.map((step) => ({
    x: step.latencyMs,
    y: top1Percent(step),
    label: String(step.floatLayerCount),
  }));
  const float = {
    x: chosen.floatLatencyMs,
    y: 100 * (chosen.fidelity.accuracy?.floatTop1Fraction ?? 0),
  };
  return renderChart({
    title: `Top-1 against latency by number of float layers (budget: ${counted(budgetPoints, 'point')})`,
    xName: 'latency, ms (batch 1, 1 thread)',
    yName: 'top-1, %',
    series: [
      { name: 'int8 with float layers', form: 'line', points },
      { name: 'chosen', form: 'dots', points: [{ x: chosen.latencyMs, y: top1Percent(chosen) }] },
      { name: 'float32', form: 'dots', points: [float] },
    ],
  });
}
