import { StageError } from '../../src/diagnostics/errors.ts';
import { defineStage } from '../../src/stage/definition.ts';
import { collectOutputs, requireKnownPlaces, type OutputPlaces } from './collect-outputs.ts';
import { commandParameters } from './parameters.ts';
import { fillPlaceholders, mentionedOutputs } from './placeholders.ts';
import { runProgram } from './run-program.ts';

export const command = defineStage({
  kind: 'command',
  version: 1,
  description: 'Runs an external program with declared inputs and outputs, without a shell.',
  parameters: commandParameters,
  inputs: 'declared-by-pipeline',
  outputs: 'declared-by-pipeline',
  runtimes: [],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 1,
  isolation: 'in-process',
  async run(context) {
    const { parameters, outputs, scratchPath } = context;
    const paths = {
      inputs: Object.fromEntries(
        Object.entries(context.inputs).map(([name, input]) => [name, input.path]),
      ),
      outputs,
    };
    const fill = (text: string): string => fillPlaceholders(text, paths);
    const places: OutputPlaces = {
      outputs,
      declaredPaths: context.declaredOutputPaths ?? {},
      mentioned: mentionedOutputs([
        ...parameters.arguments,
        ...Object.values(parameters.environment),
      ]),
      workingFolder: scratchPath,
    };
    requireKnownPlaces(places);
    const declaredEnvironment = Object.fromEntries(
      Object.entries(parameters.environment).map(([name, value]) => [name, fill(value)]),
    );
    const programArguments = parameters.arguments.map(fill);
    const program = fill(parameters.program);
    requireText([program, ...programArguments, ...Object.values(declaredEnvironment)]);
    context.log(
      `$ ${[program, ...programArguments].map((part) => JSON.stringify(part)).join(' ')}`,
    );
    await runProgram({
      program,
      arguments: programArguments,
      environment: { ...inheritedEnvironment(), ...declaredEnvironment },
      workingFolder: scratchPath,
      timeoutSeconds: parameters.timeoutSeconds ?? null,
      signal: context.signal,
      log: (line) => context.log(line),
    });
    await collectOutputs(places);
  },
});

/**
 * What a program needs to run at all. The rest of the user's environment stays out: it joins no key,
 * so a result that depends on it could be restored where it does not hold.
 */
const INHERITED_VARIABLES = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'TMPDIR'],
  // Windows programs do not start without these.
  ...['SystemRoot', 'SystemDrive', 'ComSpec', 'PATHEXT', 'TEMP', 'TMP', 'USERPROFILE', 'APPDATA'],
] as const;

function inheritedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of INHERITED_VARIABLES) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

/** The operating system ends arguments at a zero byte; Node refuses them with an error of its own. */
function requireText(texts: readonly string[]): void {
  const broken = texts.find((text) => text.includes('\0'));
  if (broken === undefined) return;
  throw new StageError({
    code: 'command/zero-byte',
    message: `${JSON.stringify(broken)} holds a zero byte, which no argument or variable can`,
    hint: 'remove it from the pipeline file',
  });
}
