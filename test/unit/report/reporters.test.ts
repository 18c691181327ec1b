import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { StageId } from '../../../src/pipeline/spec.ts';
import { showDuration } from '../../../src/report/event-text.ts';
import { createJsonReporter } from '../../../src/report/json-reporter.ts';
import { createPlainReporter } from '../../../src/report/plain-reporter.ts';
import type { Reporter } from '../../../src/report/reporter.ts';
import type { RunEvent } from '../../../src/report/run-event.ts';
import { createTerminalReporter } from '../../../src/report/terminal-reporter.ts';

const train = 'train' as StageId;
const events: RunEvent[] = [
  { type: 'run-started', runId: 'r', pipeline: 'p', stageCount: 3 },
  { type: 'stage-started', stageId: 'ingest' as StageId, action: 'up-to-date', reason: '' },
  {
    type: 'stage-finished',
    stageId: 'ingest' as StageId,
    action: 'up-to-date',
    key: 'k',
    durationMs: 0,
  },
  { type: 'stage-started', stageId: train, action: 'run', reason: 'parameters.epochs 5 → 10' },
  {
    type: 'stage-progress',
    stageId: train,
    done: 3,
    total: 10,
    unit: 'epochs',
    label: 'loss 0.9',
    elapsedMs: 15_000,
    unitsPerSecond: 0.2,
    remainingMs: 35_000,
  },
  { type: 'stage-notice', stageId: train, message: 'resumes from epoch 2, step 3' },
  { type: 'stage-warning', stageId: train, message: 'few images' },
  {
    type: 'stage-failed',
    stageId: train,
    code: 'stage/killed',
    message: 'out of memory',
    hint: 'smaller batch',
    scratchPath: '/w/train',
    logPath: '/w/train/log.txt',
    logTail: ['epoch 3'],
  },
  { type: 'stage-skipped', stageId: 'quantize' as StageId, because: train, wasRunning: false },
  { type: 'stage-skipped', stageId: 'evaluate' as StageId, because: train, wasRunning: true },
  {
    type: 'run-finished',
    ran: 0,
    restored: 0,
    upToDate: 1,
    failed: 1,
    skipped: 1,
    durationMs: 83_000,
  },
];

function capture(make: (output: Writable) => Reporter): string {
  const chunks: string[] = [];
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  const reporter = make(output);
  for (const event of events) reporter.report(event);
  reporter.close();
  return chunks.join('');
}

test('plain lines say what is done and why, and where a failure lies', () => {
  let now = 0;
  const text = capture((output) => createPlainReporter(output, () => (now += 10_000)));
  assert.equal(
    text,
    `up to date  ingest
run         train  parameters.epochs 5 → 10
            train  3/10 epochs  5.0 s per epoch  35.0 s left  loss 0.9
note        train  resumes from epoch 2, step 3
warning     train  few images
failed      train  out of memory (stage/killed)
  hint: smaller batch
  last lines of the log:
    epoch 3
  log:    /w/train/log.txt
  folder: /w/train
skipped     quantize  train failed
stopped     evaluate  train failed
1 up to date, 1 failed, 1 skipped in 1 min 23 s
`,
  );
});

test('plain progress is shown every ten seconds only', () => {
  const text = capture((output) => createPlainReporter(output, () => 0));
  assert.doesNotMatch(text, /epochs  5/);
});

test('JSON lines are the events themselves', () => {
  const lines = capture(createJsonReporter).trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line): unknown => JSON.parse(line)),
    events,
  );
});

test('the terminal shows a bar for what runs and leaves finished lines behind', () => {
  const text = capture((output) =>
    createTerminalReporter(
      Object.assign(output, {
        columns: 100,
        rows: 30,
        isTTY: true,
      }) as unknown as NodeJS.WriteStream,
    ),
  );
  // Colours and cursor movements.
  const plain = text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, '');
  assert.match(plain, /✔ up to date {2}ingest/);
  assert.match(plain, /██████░{14} 3\/10 epochs {2}5\.0 s per epoch {2}35\.0 s left {2}loss 0\.9/);
  assert.match(plain, /✖ failed {6}train {2}out of memory/);
  assert.match(plain, /1 up to date, 1 failed, 1 skipped in 1 min 23 s\n/);
});

test('durations are readable at every size', () => {
  assert.deepEqual(
    [0, 999, 1000, 59_949, 59_950, 3_599_000, 3_600_000, 90_000_000].map(showDuration),
    ['0 ms', '999 ms', '1.0 s', '59.9 s', '1 min 0 s', '59 min 59 s', '1 h 0 min', '25 h 0 min'],
  );
});
