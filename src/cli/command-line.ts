import { Command, CommanderError, InvalidArgumentError, Option, type Argument } from 'commander';
import { nearestName } from '../diagnostics/nearest-name.ts';
import {
  COMMANDS,
  OPTIONS,
  type CommandSpec,
  type OptionSpec,
  type OptionValues,
} from './options.ts';

export type ParsedCommandLine =
  | {
      readonly type: 'command';
      readonly command: CommandSpec;
      readonly arguments: readonly string[];
      readonly options: OptionValues;
    }
  /** Help or version, asked for. */
  | { readonly type: 'text'; readonly text: string }
  /** Nothing was asked for: the help, as an error. */
  | { readonly type: 'no-command'; readonly text: string }
  | {
      readonly type: 'error';
      readonly error: { readonly code: string; readonly message: string; readonly hint: string };
    };

/** Reads a command line against the tables in `options.ts`; runs nothing. */
export async function parseCommandLine(
  argv: readonly string[],
  packageVersion: () => string,
): Promise<ParsedCommandLine> {
  const captured = { text: '' };
  const found: { call?: ParsedCommandLine } = {};
  const program = createProgram(captured, (call) => {
    found.call = call;
  });
  if (argv.length === 0) return { type: 'no-command', text: program.helpInformation() };
  if (argv[0] === '--version' || argv[0] === '-V') return { type: 'text', text: packageVersion() };
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { type: 'text', text: captured.text };
    return { type: 'error', error: describeError(error, argv) };
  }
  return found.call ?? { type: 'no-command', text: program.helpInformation() };
}

function createProgram(
  captured: { text: string },
  onCall: (call: ParsedCommandLine) => void,
): Command {
  const program = new Command('drq')
    .description(
      'Experiment pipelines that train, quantize to int8 and measure image classifiers.\n' +
        'A pipeline is a YAML file; what is up to date is not run again.',
    )
    .usage('<command> [options]')
    .option('-V, --version', 'print the version')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 a stage failed, 2 wrong pipeline or usage, 3 a comparison broke its bound,\n' +
        '70 a bug of drq, 130 interrupted. DRQ_DEBUG=1 shows stack traces.',
    );
  configure(program, captured);
  for (const spec of COMMANDS) {
    const command = program
      .command(`${spec.name} ${spec.arguments}`.trimEnd(), { hidden: spec.hidden ?? false })
      .summary(spec.summary)
      .description(`${spec.summary[0]?.toUpperCase() ?? ''}${spec.summary.slice(1)}.`);
    for (const name of spec.options) command.addOption(createOption(OPTIONS[name]));
    command.registeredArguments.forEach(requireText);
    configure(command, captured);
    command.action((...received: unknown[]) => {
      // Commander passes the declared arguments, then the options, then the command.
      const values = received
        .slice(0, -2)
        .flat()
        .filter((value) => value !== undefined);
      onCall({
        type: 'command',
        command: spec,
        arguments: values as string[], // their parser leaves all of them strings
        options: readOptions(spec, command),
      });
    });
  }
  return program;
}

/** Makes commander throw and keep its texts instead of writing and exiting. */
function configure(command: Command, captured: { text: string }): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => {
      captured.text += text;
    },
    writeErr: () => undefined,
    outputError: () => undefined,
  });
}

function createOption(spec: OptionSpec): Option {
  const option = new Option(spec.flags, spec.help);
  if (spec.hidden === true) option.hideHelp();
  if (spec.kind === 'text') option.argParser(parseText);
  if (spec.choices !== undefined) option.choices(spec.choices);
  if (spec.kind === 'count') option.argParser(parseCount);
  if (spec.kind === 'list') option.argParser(appendText);
  return option;
}

function requireText(argument: Argument): void {
  if (argument.variadic) argument.argParser(appendText);
  else argument.argParser(parseText);
}

function appendText(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), parseText(text)];
}

/** An empty text is a variable of the shell that was not set; as a path it would be the current folder. */
function parseText(text: string): string {
  if (text === '') throw new InvalidArgumentError('Expected a text that is not empty.');
  return text;
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new InvalidArgumentError('Expected a whole number from 1 up.');
  }
  return value;
}

function readOptions(spec: CommandSpec, command: Command): OptionValues {
  const given: Record<string, unknown> = command.opts();
  const values: Record<string, unknown> = {};
  for (const name of spec.options) {
    const value = given[new Option(OPTIONS[name].flags).attributeName()];
    if (value !== undefined) values[name] = value;
  }
  // Each value came through the parser of its kind in `createOption`.
  return values;
}

/** Commander's wording in our form: `commander.unknownOption` → `usage/unknown-option`, suggestion as hint. */
function describeError(
  error: CommanderError,
  argv: readonly string[],
): { code: string; message: string; hint: string } {
  if (error.code === 'commander.help' && argv[0] === 'help') return unknownTopic(argv[1] ?? '');
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = /\(Did you mean (.+)\?\)/i.exec(rest.join(' '))?.[1];
  const command = COMMANDS.find((spec) => spec.name === argv[0] && spec.hidden !== true);
  const help = command === undefined ? 'drq --help' : `drq ${command.name} --help`;
  return {
    code: `usage/${error.code.replace(/^commander\./, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    message: first,
    hint:
      suggestion === undefined
        ? `see \`${help}\``
        : `did you mean ${suggestion.replace('one of ', '')}? See \`${help}\``,
  };
}

function unknownTopic(name: string): { code: string; message: string; hint: string } {
  const names = COMMANDS.filter(({ hidden }) => hidden !== true).map((spec) => spec.name);
  const nearest = nearestName(name, names);
  return {
    code: 'usage/unknown-command',
    message: `unknown command '${name}'`,
    hint:
      nearest === undefined ? 'see `drq --help`' : `did you mean ${nearest}? See \`drq --help\``,
  };
}
