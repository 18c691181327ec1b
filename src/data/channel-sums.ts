import type { Normalization } from './image-shards.ts';

type Triple = [number, number, number];

/**
 * Sums over pixel values 0 to 255 by channel. They are integers below 2^53 for up to 10^11 pixels, so
 * adding is exact and their order does not matter.
 */
export interface ChannelSums {
  readonly pixelCount: number;
  readonly sum: Readonly<Triple>;
  readonly sumOfSquares: Readonly<Triple>;
}

export const NO_SUMS: ChannelSums = { pixelCount: 0, sum: [0, 0, 0], sumOfSquares: [0, 0, 0] };

/** Sums of packed RGB pixels [H, W, 3]. */
export function sumChannels(pixels: Uint8Array): ChannelSums {
  const histograms = new Uint32Array(3 * 256);
  // Counting levels first keeps the inner loop to one increment a byte.
  for (let i = 0; i < pixels.length; i += 3) {
    histograms[pixels[i]!]! += 1;
    histograms[256 + pixels[i + 1]!]! += 1;
    histograms[512 + pixels[i + 2]!]! += 1;
  }
  const sum: Triple = [0, 0, 0];
  const sumOfSquares: Triple = [0, 0, 0];
  for (const channel of [0, 1, 2] as const) {
    for (let level = 1; level < 256; level += 1) {
      const count = histograms[channel * 256 + level]!; // 3 * 256 entries
      sum[channel] += level * count;
      sumOfSquares[channel] += level * level * count;
    }
  }
  return { pixelCount: pixels.length / 3, sum, sumOfSquares };
}

export function addSums(a: ChannelSums, b: ChannelSums): ChannelSums {
  const add = (x: Readonly<Triple>, y: Readonly<Triple>): Triple => [
    x[0] + y[0],
    x[1] + y[1],
    x[2] + y[2],
  ];
  return {
    pixelCount: a.pixelCount + b.pixelCount,
    sum: add(a.sum, b.sum),
    sumOfSquares: add(a.sumOfSquares, b.sumOfSquares),
  };
}

/**
 * Mean and population standard deviation of pixel values scaled to [0, 1]; null when there are no
 * pixels, or a channel has one level only and so cannot be divided by its deviation.
 */
export function normalizationOf(sums: ChannelSums): Normalization | null {
  const { pixelCount, sum, sumOfSquares } = sums;
  if (pixelCount === 0) return null;
  const mean = (c: 0 | 1 | 2): number => sum[c] / pixelCount / 255;
  const std = (c: 0 | 1 | 2): number => {
    const variance = sumOfSquares[c] / pixelCount - (sum[c] / pixelCount) ** 2;
    return Math.sqrt(Math.max(0, variance)) / 255;
  };
  const stds: Triple = [std(0), std(1), std(2)];
  if (stds.some((value) => value === 0)) return null;
  return { mean: [mean(0), mean(1), mean(2)], std: stds };
}
