import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { say } from './progress.js';
import { buildFolder, projectFolder } from './project.js';
import { runProgram } from './run-program.js';

/** Runs one program of test/benchmarks with the rest of the arguments; without a name lists them. */
export async function runBenchmark([name, ...rest]) {
  const names = benchmarkNames();
  if (name === undefined) {
    for (const line of describeBenchmarks(names)) console.log(line);
    return 0;
  }
  if (!names.includes(name)) {
    say(`error: unknown benchmark "${name}"; known: ${names.join(', ') || 'none'}`);
    say('  hint: npm run bench -- NAME [arguments]; without a name it lists them');
    return 2;
  }
  const program = join(buildFolder, 'test', 'benchmarks', `${name}.js`);
  const { code } = await runProgram(process.execPath, [program, ...rest], { stdio: 'inherit' });
  return code;
}

function benchmarkNames() {
  const folder = join(buildFolder, 'test', 'benchmarks');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((file) => (file.endsWith('.js') ? [file.slice(0, -3)] : []))
    .sort();
}

/** Two lines a benchmark: its command, and what it shows. */
function describeBenchmarks(names) {
  return names.flatMap((name) => {
    const { command, title } = describeBenchmark(name);
    return title === '' ? [command] : [command, `  ${title}`];
  });
}

/** Out of the comment that heads the source: its first clause, and the command with all its flags. */
function describeBenchmark(name) {
  const source = readFileSync(join(projectFolder, 'test', 'benchmarks', `${name}.ts`), 'utf8');
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? '';
  const lines = comment.split('\n').map((line) => line.replace(/^ \* ?/, '').trim());
  const first = lines.findIndex((line) => line.startsWith('npm run bench -- '));
  const after = lines.slice(first + 1);
  const end = after.findIndex((line) => !line.startsWith('[')); // flags go on in lines of their own
  const command = first === -1 ? undefined : [lines[first], ...after.slice(0, end)].join(' ');
  const title = /^[^:;.]*/.exec(lines.join(' ').trim())?.[0] ?? '';
  return { command: command ?? `npm run bench -- ${name}`, title };
}
