import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cpuInt8Support,
  fingerprintDigest,
  int8SupportOf,
  machineFingerprint,
  parseCpuInfoFlags,
  watchLoad,
} from '../../../src/benchmark/machine.ts';

test('flags are read from /proc/cpuinfo of x86 and arm', () => {
  const x86 = 'processor\t: 0\nflags\t\t: fpu sse4_1 avx2 avx512_vnni smep\n\nprocessor\t: 1\n';
  assert.deepEqual(parseCpuInfoFlags(x86), ['avx2', 'avx512_vnni', 'sse4_1']);
  const arm = 'processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n';
  assert.deepEqual(parseCpuInfoFlags(arm), ['asimd', 'asimddp', 'i8mm']);
  assert.deepEqual(parseCpuInfoFlags(''), []);
});

test('int8 support follows from the flags', () => {
  assert.equal(int8SupportOf(['avx2', 'avx512_vnni'], 'x64'), 'vnni');
  assert.equal(int8SupportOf(['avx2', 'avx_vnni'], 'x64'), 'vnni');
  assert.equal(int8SupportOf(['avx2', 'avx512f'], 'x64'), 'avx2');
  assert.equal(int8SupportOf(['sse4_1'], 'x64'), 'none');
  assert.equal(int8SupportOf([], 'x64'), 'unknown');
  assert.equal(int8SupportOf(['asimddp'], 'arm64'), 'neon');
  assert.equal(int8SupportOf(['asimd'], 'arm64'), 'none');
  assert.equal(int8SupportOf([], 'arm64'), 'unknown');
});

test('the fingerprint is stable, and each part of it counts', async () => {
  const fingerprint = await machineFingerprint();
  assert.deepEqual(await machineFingerprint(), fingerprint);
  assert.ok(fingerprint.coreCount >= 1 && fingerprint.memoryGib > 0);
  const digest = fingerprintDigest(fingerprint);
  assert.match(digest, /^[0-9a-f]{64}$/);
  const changed = [
    { ...fingerprint, cpuModel: 'another' },
    { ...fingerprint, cpuFlags: ['another'] },
    { ...fingerprint, coreCount: 999 },
    { ...fingerprint, memoryGib: 999 },
    { ...fingerprint, platform: 'another' },
    { ...fingerprint, architecture: 'another' },
    { ...fingerprint, governor: 'another' },
  ].map(fingerprintDigest);
  assert.equal(new Set([digest, ...changed]).size, 8);
});

test('this machine has an answer', () => {
  assert.ok(['vnni', 'avx2', 'neon', 'none', 'unknown'].includes(cpuInt8Support()));
});

test('the load watch counts our own work as ours', () => {
  const end = watchLoad();
  const until = Date.now() + 200;
  while (Date.now() < until);
  const report = end();
  assert.ok(report.ownBusyFraction > 0, String(report.ownBusyFraction));
  assert.ok(report.otherBusyFraction >= 0 && report.otherBusyFraction <= 1);
});
