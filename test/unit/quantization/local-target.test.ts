import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuInt8Support } from '../../../src/benchmark/machine.ts';
import { localTarget, saturationWarning } from '../../../src/quantization/local-target.ts';

test('only full-range weights on a CPU without VNNI are warned of', () => {
  assert.match(saturationWarning('vnni', 'avx2') ?? '', /no VNNI.*target avx2 is right on both/);
  assert.equal(saturationWarning('vnni', 'vnni'), null);
  assert.equal(saturationWarning('vnni', 'neon'), null);
  assert.equal(saturationWarning('avx2', 'avx2'), null);
  assert.equal(saturationWarning('portable', 'avx2'), null);
});

test('the target of this CPU is never warned of', () => {
  assert.equal(saturationWarning(localTarget(), cpuInt8Support()), null);
});
