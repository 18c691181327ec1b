import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TradeStep } from '../../../src/quantization/mixed-precision.ts';
import { plotTrade } from '../../../src/quantization/trade-plot.ts';

function step(floatLayerCount: number, latencyMs: number, top1Fraction: number): TradeStep {
  return {
    floatLayerCount,
    floatLayers: [],
    fidelity: {
      imageCount: 100,
      agreementFraction: 1,
      klDivergence: 0,
      logitsSqnrDb: 30,
      logitsSqnrPerImageDb: 30,
      accuracy: { top1Fraction, floatTop1Fraction: 0.62 },
    },
    dropPoints: 100 * (0.62 - top1Fraction),
    latencyMs,
    floatLatencyMs: 6,
    sizeBytes: 1,
  };
}

const steps = [step(0, 3, 0.55), step(1, 3.2, 0.6), step(2, 3.5, 0.61)];
const chosen = steps[2]!; // three steps

function plot(budgetPoints: number): Promise<string> {
  return plotTrade({ steps, chosen, budgetPoints, isWithinBudget: true });
}

/** Where texts begin, by their content. */
function textPlaces(svg: string): ReadonlyMap<string, number> {
  const texts = svg.matchAll(/<text\b([^>]*)>([^<]*)<\/text>/g);
  return new Map(
    [...texts].map(([, attributes = '', text = '']) => [
      text,
      Number(/\bx="([-\d.]+)"/.exec(attributes)?.[1] ?? 0) +
        Number(/translate\(([-\d.]+)/.exec(attributes)?.[1] ?? 0),
    ]),
  );
}

test('entries of the legend keep apart, whatever font shows them', async () => {
  const places = textPlaces(await plot(1));
  const name = 'int8 with float layers';
  const room = places.get('chosen')! - places.get(name)!;
  // 12 px text is at most 0.6 em wide a letter on average (Verdana); the marker takes 30 px more.
  assert.ok(room > name.length * 12 * 0.58 + 15, `${room} px`);
});

test('the budget is told in points, one of them in the singular', async () => {
  assert.match(await plot(1), /\(budget: 1 point\)/);
  assert.match(await plot(0.5), /\(budget: 0\.5 points\)/);
});

test('labels of points have a rim where the curve passes under them', async () => {
  assert.match(await plot(2), /<text[^>]*stroke="#ffffff"[^>]*>2<\/text>/);
});
