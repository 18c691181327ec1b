import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('a signal that came before its listener, and was not told yet, is told to it alone', () => {
  const url = new URL('../../../src/execute/local/take-over-signal.js', import.meta.url).href;
  const script = `
    import { takeOverSignal } from ${JSON.stringify(url)};
    process.on('SIGTERM', () => console.log('earlier'));
    process.kill(process.pid, 'SIGTERM');
    takeOverSignal('SIGTERM', () => console.log('later'));
    setTimeout(() => process.exit(0), 500);
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.equal(stdout, 'later\n');
});
