import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MUTATION_NAMES, type FuzzOutcome } from '../support/fuzz-onnx.ts';

const COUNT = 660;
const TIME_LIMIT_MS = 120_000;
const MAX_BYTES = 2 ** 30;

test(`${COUNT} damaged models: each a clear error or a valid model, in bounded time and memory`, async () => {
  const program = fileURLToPath(new URL('../support/fuzz-onnx.js', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--max-old-space-size=512', program, '0', String(COUNT)],
    { timeout: TIME_LIMIT_MS, maxBuffer: 2 ** 26 },
  ).catch((error: unknown) => {
    // A process that died or hung has told what it was trying.
    const tried = String((error as { stdout?: unknown }).stdout)
      .trimEnd()
      .split('\n')
      .at(-1);
    throw new Error(`the process died or took too long, the last line was ${tried}`, {
      cause: error,
    });
  });
  const lines = stdout.trimEnd().split('\n');
  const { peakBytes } = JSON.parse(lines.at(-1) ?? '') as { peakBytes: number };
  const outcomes = lines
    .filter((line) => line.includes('"outcome"'))
    .map((line) => JSON.parse(line) as FuzzOutcome);
  assert.equal(outcomes.length, COUNT);
  assert.deepEqual(
    outcomes.filter(({ outcome }) => outcome === 'CRASH'),
    [],
  );
  for (const { outcome, seed, detail, elapsedMs } of outcomes) {
    assert.ok(elapsedMs < 10_000, `seed ${seed} took ${elapsedMs} ms`);
    if (outcome !== 'valid') assert.match(detail ?? '', /\w{3}/, `seed ${seed} says nothing`);
  }
  assert.ok(peakBytes < MAX_BYTES, `${peakBytes} bytes`);
  // Neither everything refused nor everything let through: the mutations reach all depths.
  const codes = new Set(outcomes.map(({ outcome }) => outcome));
  for (const expected of ['valid', 'onnx/malformed', 'onnx/undefined-tensor', 'onnx/bad-tensor']) {
    assert.ok(codes.has(expected), `${expected} in ${[...codes].join(', ')}`);
  }
  assert.equal(new Set(outcomes.map(({ mutation }) => mutation)).size, MUTATION_NAMES.length);
});
