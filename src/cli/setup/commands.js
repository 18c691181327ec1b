import { join } from 'node:path';
import { build } from './build.js';
import { installPackages } from './install-packages.js';
import { launch } from './launch.js';
import { formatSeconds, say } from './progress.js';
import { projectFolder } from './project.js';
import { runBenchmark } from './run-benchmark.js';
import { runPeers } from './run-peers.js';
import { runTests } from './run-tests.js';
import { setUpTensorflow } from './tensorflow-binding.js';

const COMMANDS = {
  start: { steps: ['packages', 'tensorflow', 'build'], run: start },
  setup: { steps: ['packages', 'tensorflow', 'build'], run: () => 0 },
  // What `drq setup` calls, also in an installed package, where there is nothing to build.
  binding: { steps: ['tensorflow'], run: bindingExitCode },
  build: { steps: ['packages', 'build'], run: () => 0 },
  test: { steps: ['packages', 'tensorflow', 'build'], run: (rest) => runTests('default', rest) },
  'test:slow': {
    steps: ['packages', 'tensorflow', 'build'],
    run: (rest) => runTests('slow', rest),
  },
  'test:peers': { steps: ['packages', 'build'], run: runPeers },
  bench: { steps: ['packages', 'tensorflow', 'build'], run: runBenchmark },
};

const STEPS = {
  packages: installPackages,
  tensorflow: setUpTensorflow,
  build,
};

/** Does the set-up that is missing and then what was asked for; returns the exit code. */
export async function runSetupCommand([name = 'setup', ...rest]) {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    say(`error: unknown set-up command "${name}"; known: ${Object.keys(COMMANDS).join(', ')}`);
    return 2;
  }
  try {
    const startedAt = Date.now();
    const done = [];
    for (const step of command.steps) done.push(await STEPS[step]());
    const whole = done.every((result) => result !== 'missing');
    if (whole && done.every((result) => result === 'up-to-date')) say('setup: up to date');
    else if (whole) say(`setup: done in ${formatSeconds(Date.now() - startedAt)}`);
    else say('setup: done, without TensorFlow');
    return await command.run(rest, whole);
  } catch (error) {
    // The last resort of a program without compiled code: one message, not a stack trace.
    if (error.name !== 'SetupError') throw error;
    say(`error: ${error.message}`);
    if (error.detail !== '') say(error.detail);
    say(`  hint: ${error.hint}`);
    return 1;
  }
}

function bindingExitCode(rest, whole) {
  return whole ? 0 : 1;
}

/** In this process: a second one would spend half of the time that an up-to-date run takes. */
async function start(rest) {
  return await launch(['run', join(projectFolder, 'pipelines', 'quickstart.yaml'), ...rest]);
}
