import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/**
 * Bytes that this process may still take: what the kernel can give without swapping, and no more than a
 * container's limit leaves.
 */
export function availableMemory(): number {
  const { rss } = process.memoryUsage();
  const limit = process.constrainedMemory(); // 0 or beyond all memory where there is none
  const left = limit > 0 ? Math.max(0, limit - rss) : Infinity;
  return Math.min(kernelEstimate() ?? freemem(), left);
}

/** MemAvailable of Linux, which counts the page cache as free; null elsewhere. */
function kernelEstimate(): number | null {
  try {
    const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(
      readFileSync('/proc/meminfo', 'utf8'),
    )?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null; // not Linux
  }
}
