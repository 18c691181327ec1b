import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { say } from './progress.js';
import { buildFolder } from './project.js';
import { runProgram } from './run-program.js';

/** Runs one program of test/benchmarks with the rest of the arguments; returns its exit code. */
export async function runBenchmark([name, ...rest]) {
  const folder = join(buildFolder, 'test', 'benchmarks');
  const names = existsSync(folder)
    ? readdirSync(folder).flatMap((file) => (file.endsWith('.js') ? [file.slice(0, -3)] : []))
    : [];
  if (name === undefined || !names.includes(name)) {
    const received = name === undefined ? 'no benchmark named' : `unknown benchmark "${name}"`;
    say(`error: ${received}; known: ${names.sort().join(', ') || 'none'}`);
    say('  hint: npm run bench -- NAME [arguments]');
    return 2;
  }
  const { code } = await runProgram(process.execPath, [join(folder, `${name}.js`), ...rest], {
    stdio: 'inherit',
  });
  return code;
}
