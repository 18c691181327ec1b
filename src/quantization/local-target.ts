import { cpuInt8Support, type CpuInt8Support } from '../benchmark/machine.ts';
import type { Target } from './choices.ts';

/** The target of this CPU: without VNNI, full-range int8 weights saturate in AVX2's 16-bit sums. */
export function localTarget(): Target {
  return cpuInt8Support() === 'avx2' ? 'avx2' : 'vnni';
}

/** What to say to somebody who quantizes for `target` on this CPU; null: nothing. */
export function saturationWarning(
  target: Target,
  support: CpuInt8Support = cpuInt8Support(),
): string | null {
  if (target !== 'vnni' || support !== 'avx2') return null;
  return 'this CPU has no VNNI, so sums saturate in a model for target vnni: its results are worse here, in this report too, than where it is meant to run; target avx2 is right on both';
}
