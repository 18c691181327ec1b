import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { makeJpeg } from './picture-fixtures.ts';
import { createRig, type CliResult, type Rig } from './rig.ts';

/** Something a user got wrong, what drq must say of it, and how the user mends it. */
export interface BadInput {
  readonly name: string;
  /** Makes the project with its mistake; the pipeline file is `p.yaml`. */
  readonly spoil: (rig: Rig) => Promise<unknown>;
  /** `drq run p.yaml` unless given. */
  readonly command?: readonly string[];
  /** 1 unless given. */
  readonly exitCode?: 1 | 2;
  /** The whole message, or what it must match; ROOT and RUN stand for what differs from run to run. */
  readonly says: string | RegExp;
  /** After it the same command must succeed; left out where another case of the kind shows it. */
  readonly mend?: (rig: Rig) => Promise<unknown>;
}

/** Two at a time: starting node is most of the time these tests take. */
export const CONCURRENCY = 2;

/** One test for all cases of a kind, each a subtest. */
export function checkAll(name: string, cases: readonly BadInput[]): void {
  void test(name, { concurrency: CONCURRENCY }, async (t) => {
    await Promise.all(
      cases.map((bad) => t.test(bad.name, (context) => checkBadInput(context, bad))),
    );
  });
}

/** Meets the mistake, reads the message, mends it and runs again. */
export async function checkBadInput(context: TestContext, bad: BadInput): Promise<void> {
  const rig = await createRig(context);
  await bad.spoil(rig);
  const command = bad.command ?? ['run', 'p.yaml'];
  const refused = await rig.drq(...command);
  assert.equal(refused.exitCode, bad.exitCode ?? 1, refused.stderr);
  assertSays(rig, refused, bad.says);
  if (bad.mend === undefined) return;
  await bad.mend(rig);
  const mended = await rig.drq(...command);
  assert.equal(mended.exitCode, 0, mended.stderr);
}

/** One message, the expected one, with no stack trace. */
export function assertSays(rig: Rig, result: CliResult, says: string | RegExp): void {
  assert.equal(result.stdout, '');
  assert.doesNotMatch(result.stderr, /^\s+at .*:\d+/m, 'no stack trace');
  assert.doesNotMatch(result.stderr, /\.tmp\b|internal\/bug/);
  const message = messageOf(rig, result.stderr);
  if (typeof says === 'string') assert.equal(message, says);
  else assert.match(message, says);
}

/** What is said of the failure, without the lines that every run prints. */
function messageOf(rig: Rig, stderr: string): string {
  const lines = stderr
    .replaceAll(rig.root, 'ROOT')
    .replace(/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-[0-9a-f]{6}/g, 'RUN')
    .trimEnd()
    .split('\n');
  const first = lines.findIndex((line) => /^failed |^error |^\S+ error /.test(line));
  const last = lines.findIndex((line, i) => i > first && /^ {2}log: /.test(line));
  assert.notEqual(first, -1, stderr);
  return lines.slice(first, last === -1 ? undefined : last).join('\n');
}

/** A pipeline of one ingest stage. */
export function ingestPipeline(parameters = '{}', source: string | null = 'data'): string {
  const inputs = source === null ? '' : `\n    inputs: { source: { path: ${source} } }`;
  return `name: p
stages:
  ingest:
    kind: ingest${inputs}
    parameters: ${parameters}
`;
}

/** Class folders of a few small photographs, all different. */
export async function writeDataset(rig: Rig): Promise<void> {
  let seed = 0;
  for (const split of ['train', 'validation', 'test']) {
    for (const name of ['a', 'b']) {
      for (const image of ['1', '2']) {
        seed += 1;
        await rig.write(`data/${split}/${name}/${image}.jpg`, await makeJpeg(seed));
      }
    }
  }
}
