import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { lastLines, runProgram } from './run-program.js';
import { SetupError } from './setup-error.js';

const COMPILE_LIMIT_MS = 10 * 60_000;

/**
 * Compiles tfjs-node's two sources against TensorFlow's libraries into `output`. The libraries
 * are found at run time by their absolute place (rpath), so that nothing of 600 MB is copied.
 */
export async function compileBinding({ packagePath, tensorflowFolder, output }) {
  const compiler = process.env['CXX']?.trim() || 'g++';
  // CXX may carry arguments, for instance `ccache g++`.
  const [program, ...first] = compiler.split(/\s+/);
  const library = join(tensorflowFolder, 'lib');
  const result = await runProgram(
    program,
    [
      ...first,
      '-O2',
      '-std=c++17',
      '-fPIC',
      '-shared',
      '-w',
      '-DNAPI_VERSION=8',
      ...['binding', '.'].map((folder) => `-I${join(packagePath, folder)}`),
      `-I${join(tensorflowFolder, 'include')}`,
      `-I${findNodeApiHeaders()}`,
      ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(packagePath, 'binding', name)),
      '-o',
      output,
      `-L${library}`,
      '-l:libtensorflow_cc.so.2',
      '-l:libtensorflow_framework.so.2',
      // Two -Xlinker instead of -Wl, since a path may hold a comma.
      ...['-Xlinker', '-rpath', '-Xlinker', library],
    ],
    { timeoutMs: COMPILE_LIMIT_MS },
  );
  if (result.startError !== undefined) {
    throw new SetupError(
      `there is no C++ compiler (${program}: ${result.startError.code ?? 'cannot be started'})`,
      'install one (Debian, Ubuntu: apt-get install g++) or name it in CXX, then run `npm run setup`',
    );
  }
  if (result.code !== 0) {
    throw new SetupError(
      `${compiler} could not compile the TensorFlow binding`,
      'a compiler for C++17 is needed, for instance g++ 9 or newer; CXX names another',
      lastLines(result.output),
    );
  }
}

/** Node-API is stable, so the headers of any Node serve: those of this one are looked at first. */
function findNodeApiHeaders() {
  const prefix = dirname(dirname(process.execPath));
  const configured = [process.env['npm_config_nodedir'], process.config.variables['node_prefix']];
  const candidates = [
    ...[prefix, ...configured].flatMap((folder) =>
      folder ? [join(folder, 'include', 'node')] : [],
    ),
    '/usr/include/node',
    '/usr/local/include/node',
  ];
  const found = candidates.find((folder) => existsSync(join(folder, 'node_api.h')));
  if (found !== undefined) return found;
  try {
    return createRequire(import.meta.url)('node-api-headers').include_dir;
  } catch {
    // The package is an optional dependency; without it the remedy below is what is left.
    throw new SetupError(
      'the Node-API headers (node_api.h) were not found',
      'install them (Debian, Ubuntu: apt-get install libnode-dev), then run `npm run setup`',
    );
  }
}
