import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgressLines } from '../../../src/cli/progress-lines.ts';

function lines(isLive: boolean) {
  const shown: string[] = [];
  let at = 0;
  const report = createProgressLines({
    writeLive: isLive ? (text) => shown.push(text) : null,
    say: (line) => shown.push(line),
    now: () => at,
  });
  const advance = (milliseconds: number, phase: string, done: number, total: number): void => {
    at += milliseconds;
    report({ phase, done, total });
  };
  return { shown, advance };
}

test('where nobody watches: a line a phase, and one every ten seconds with rate and time left', () => {
  const { shown, advance } = lines(false);
  advance(0, 'decode', 1, 2);
  advance(100, 'decode', 2, 2);
  for (let done = 1; done <= 100; done += 1) advance(250, 'calibrate', done, 100);
  assert.deepEqual(shown, [
    'decode  2 images',
    'calibrate  100 images',
    'calibrate  41/100 images  4.0/s  14.8 s left',
    'calibrate  81/100 images  4.0/s  4.8 s left',
  ]);
});

test('on a terminal one line counts, and ends with its phase', () => {
  const { shown, advance } = lines(true);
  advance(0, 'decode', 1, 3);
  advance(1000, 'decode', 2, 3);
  advance(1000, 'decode', 3, 3);
  advance(1000, 'calibrate', 1, 9);
  assert.deepEqual(shown, [
    '\rdecode  1/3 images\u001b[K',
    '\rdecode  2/3 images  1.0/s  1.0 s left\u001b[K',
    '\rdecode  3/3 images  1.0/s\u001b[K\n',
    '\rcalibrate  1/9 images\u001b[K',
  ]);
});
