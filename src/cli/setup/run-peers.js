import { join } from 'node:path';
import process from 'node:process';
import { buildFolder } from './project.js';
import { runProgram } from './run-program.js';

/** Runs the comparison with the Python quantizers, test/peers/run.ts, with the arguments given. */
export async function runPeers(rest) {
  const program = join(buildFolder, 'test', 'peers', 'run.js');
  const { code } = await runProgram(process.execPath, [program, ...rest], { stdio: 'inherit' });
  return code;
}
