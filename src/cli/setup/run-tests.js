import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, sep } from 'node:path';
import process from 'node:process';
import { say } from './progress.js';
import { buildFolder, projectFolder } from './project.js';
import { runProgram } from './run-program.js';

/** Folders of test/ that the default suite leaves out; `npm run test:slow` runs `slow` alone. */
const NOT_BY_DEFAULT = ['slow', 'benchmarks', 'support', 'fixtures'];

/**
 * Lints, checks the formatting and runs the tests; the test runner's closing lines come last.
 * `filters` are parts of paths, for instance `unit/onnx`: with them only those tests run.
 */
export async function runTests(suite, filters) {
  const files = findTests(suite, filters);
  if (files.length === 0) {
    say(`error: no test file matches ${filters.join(', ') || `the suite "${suite}"`}`);
    return 1;
  }
  if (suite === 'default' && filters.length === 0) {
    for (const check of [lint, checkFormat]) {
      const exitCode = await check();
      if (exitCode !== 0) return exitCode;
    }
  }
  const { code } = await runProgram(
    process.execPath,
    [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${suite === 'slow' ? 1 : availableParallelism()}`,
      ...files,
    ],
    { cwd: projectFolder, stdio: 'inherit' },
  );
  return code;
}

async function lint() {
  say('test: linting …');
  return await runTool(
    ['eslint', 'bin', 'eslint.js'],
    ['-c', join('.config', 'eslint.config.js'), 'src', 'stages', 'test'],
  );
}

async function checkFormat() {
  say('test: checking the formatting …');
  return await runTool(['prettier', 'bin', 'prettier.cjs'], ['--check', '--log-level=warn', '.']);
}

async function runTool(script, toolArguments) {
  const { code } = await runProgram(
    process.execPath,
    [join(projectFolder, 'node_modules', ...script), ...toolArguments],
    { cwd: projectFolder, stdio: 'inherit' },
  );
  return code;
}

/** Named one by one: what `node --test` makes of a folder differs between Node 20 and 22. */
function findTests(suite, filters) {
  const root = join(buildFolder, 'test');
  const files = testsBelow(root).filter((path) => {
    const [first] = path.split(sep);
    return suite === 'slow' ? first === 'slow' : !NOT_BY_DEFAULT.includes(first);
  });
  const chosen = files.filter(
    (path) =>
      filters.length === 0 ||
      filters.some((filter) => `test/${path.split(sep).join('/')}`.includes(filter)),
  );
  return chosen.sort().map((path) => relative(projectFolder, join(root, path)));
}

function testsBelow(root, folder = '') {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const name = join(folder, entry.name);
    if (entry.isDirectory()) return testsBelow(root, name);
    return entry.name.endsWith('.test.js') ? [name] : [];
  });
}
