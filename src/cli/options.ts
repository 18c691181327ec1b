import {
  BIAS_CORRECTIONS,
  CALIBRATION_METHODS,
  EQUALIZATION_CHOICES,
  ROUNDINGS,
  WEIGHT_RANGES,
  TARGETS,
} from '../quantization/choices.ts';
import type { CommandHandler } from './command-context.ts';

/** How the text after a flag becomes a value. */
export type OptionKind = 'flag' | 'text' | 'list' | 'count';

export interface OptionSpec {
  /** Long flag with its value's name, as help shows it. */
  readonly flags: string;
  readonly kind: OptionKind;
  readonly help: string;
  readonly choices?: readonly string[];
  readonly hidden?: boolean;
}

/** Every flag of every command; a flag that means something else elsewhere has an entry of its own. */
export const OPTIONS = {
  set: {
    flags: '--set <path=value>',
    kind: 'list',
    help: 'override one value, e.g. vars.epochs=5 or stages.train.parameters.batchSize=16; may be repeated',
  },
  profile: { flags: '--profile <name>', kind: 'text', help: 'use this profile of the pipeline' },
  root: {
    flags: '--root <folder>',
    kind: 'text',
    help: 'project root that holds artifacts/ and experiments/ (default: the nearest folder above FILE with a package.json or .git)',
  },
  jobs: {
    flags: '--jobs <n>',
    kind: 'count',
    help: 'stages that may run at the same time (default: as many as there are cores)',
  },
  force: { flags: '--force', kind: 'flag', help: 'run the chosen stages even if nothing changed' },
  keepGoing: {
    flags: '--keep-going',
    kind: 'flag',
    help: 'after a failure go on with the stages that do not need the failed one',
  },
  dryRun: { flags: '--dry-run', kind: 'flag', help: 'show what would happen, do nothing' },
  jsonEvents: { flags: '--json', kind: 'flag', help: 'print events on stdout, one JSON a line' },
  json: { flags: '--json', kind: 'flag', help: 'print JSON on stdout' },
  tableName: { flags: '--name <table>', kind: 'text', help: 'only this table (default: all)' },
  tableFormat: {
    flags: '--format <format>',
    kind: 'text',
    help: 'how to print it (default: terminal)',
    choices: ['terminal', 'csv', 'markdown', 'json'],
  },
  failOn: {
    flags: '--fail-on <bound>',
    kind: 'list',
    help: "exit 3 when the change from A to B is one that must not be: 'top1 < -0.5pp', 'latencyMedianMs > +5%'; may be repeated",
  },
  diffFormat: {
    flags: '--format <format>',
    kind: 'text',
    help: 'how to print it (default: terminal)',
    choices: ['terminal', 'markdown', 'json'],
  },
  graphFormat: {
    flags: '--format <format>',
    kind: 'text',
    help: 'language of the drawing (default: mermaid)',
    choices: ['mermaid', 'dot'],
  },
  data: {
    flags: '--data <folder>',
    kind: 'text',
    help: 'images to calibrate with and to compare on; class folders or a flat folder (required)',
  },
  output: {
    flags: '--output <file>',
    kind: 'text',
    help: 'where to write the int8 model (required)',
  },
  count: { flags: '--count <n>', kind: 'count', help: 'calibration images (default: 128)' },
  preset: {
    flags: '--preset <name>',
    kind: 'text',
    help: 'how the model wants its pixels: imagenet (mean and deviation), tf ((rgb - 127.5) / 127.5), unit (rgb / 255)',
    choices: ['imagenet', 'tf', 'unit'],
  },
  mean: {
    flags: '--mean <r,g,b>',
    kind: 'text',
    help: 'mean of each channel, of values in [0, 1]; with --std, instead of --preset',
  },
  std: {
    flags: '--std <r,g,b>',
    kind: 'text',
    help: 'standard deviation of each channel, of values in [0, 1]',
  },
  target: {
    flags: '--target <cpu>',
    kind: 'text',
    help: 'CPU the model is for: vnni (weights of 8 bits), avx2 (bounded where they meet, so that nothing saturates without VNNI) or portable (7 bits, for other runtimes); default: this CPU',
    choices: TARGETS,
  },
  method: {
    flags: '--method <name>',
    kind: 'text',
    help: 'how ranges of activations are chosen (default: auto, which tries several on held-out images)',
    choices: CALIBRATION_METHODS,
  },
  equalization: {
    flags: '--equalization <name>',
    kind: 'text',
    help: 'how channels between two layers are scaled first (default: auto: activations from 64 images on)',
    choices: EQUALIZATION_CHOICES,
  },
  rounding: {
    flags: '--rounding <name>',
    kind: 'text',
    help: 'how weights are rounded (default: adaptive, on the calibration images)',
    choices: ROUNDINGS,
  },
  biasCorrection: {
    flags: '--bias-correction <name>',
    kind: 'text',
    help: 'whether the mean error of each layer is taken back (default: local)',
    choices: BIAS_CORRECTIONS,
  },
  weightRange: {
    flags: '--weight-range <name>',
    kind: 'text',
    help: 'range of the weights of a channel: the largest (max, the default) or the least squared error',
    choices: WEIGHT_RANGES,
  },
  inputType: {
    flags: '--input <type>',
    kind: 'text',
    help: 'what the int8 model takes: float32 (normalized, the default) or uint8 (pixels, in the layout of the float model)',
    choices: ['float32', 'uint8'],
  },
  sensitivity: {
    flags: '--sensitivity',
    kind: 'flag',
    help: 'also measure how much each layer harms the output, for the report',
  },
  reportFile: {
    flags: '--report <file.md>',
    kind: 'text',
    help: 'write the fidelity report: agreement, KL, SQNR, operators with times, what stayed float and why',
  },
  size: {
    flags: '--size <n>',
    kind: 'count',
    help: "side of the square input in pixels (default: the model's own)",
  },
} as const satisfies Record<string, OptionSpec>;

export type OptionName = keyof typeof OPTIONS;

type OptionValue<Kind extends OptionKind> = {
  flag: boolean;
  text: string;
  list: readonly string[];
  count: number;
}[Kind];

/** What was given on the command line; a flag that was not given is absent. */
export type OptionValues = {
  readonly [Name in OptionName]?: OptionValue<(typeof OPTIONS)[Name]['kind']>;
};

export interface CommandSpec {
  readonly name: string;
  /** As commander writes it: `<file>`, `[stage...]`. */
  readonly arguments: string;
  readonly summary: string;
  readonly options: readonly OptionName[];
  readonly hidden?: boolean;
  /** Imported only when the command is called: `drq --help` loads none of them. */
  load(): Promise<CommandHandler>;
}

const PIPELINE_OPTIONS = ['set', 'profile', 'root'] as const satisfies readonly OptionName[];

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'run',
    arguments: '<file> [stage...]',
    summary: 'run a pipeline, or some stages of it and what they need',
    options: [...PIPELINE_OPTIONS, 'jobs', 'force', 'keepGoing', 'dryRun', 'jsonEvents'],
    load: async () => (await import('./commands/run.ts')).run,
  },
  {
    name: 'plan',
    arguments: '<file> [stage...]',
    summary: 'show what a run would do and why',
    options: [...PIPELINE_OPTIONS, 'force', 'json'],
    load: async () => (await import('./commands/plan.ts')).plan,
  },
  {
    name: 'why',
    arguments: '<file> <stage>',
    summary: 'show what a stage depends on and what changed since its last run',
    options: [...PIPELINE_OPTIONS, 'json'],
    load: async () => (await import('./commands/why.ts')).why,
  },
  {
    name: 'status',
    arguments: '[file]',
    summary: 'show what was last run: stages, digests and where the outputs lie',
    options: [...PIPELINE_OPTIONS, 'json'],
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'table',
    arguments: '<file>',
    summary: 'print the comparison tables of the last run',
    options: [...PIPELINE_OPTIONS, 'tableFormat', 'tableName'],
    load: async () => (await import('./commands/table.ts')).table,
  },
  {
    name: 'diff',
    arguments: '<a> <b>',
    summary:
      'compare two results: lock files, experiments folders, or either in a git revision (HEAD~1, HEAD~1:experiments/x)',
    options: ['failOn', 'diffFormat'],
    load: async () => (await import('./commands/diff.ts')).diff,
  },
  {
    name: 'graph',
    arguments: '<file>',
    summary: 'print the graph of stages',
    options: [...PIPELINE_OPTIONS, 'graphFormat'],
    load: async () => (await import('./commands/graph.ts')).graph,
  },
  {
    name: 'quantize',
    arguments: '<model.onnx>',
    summary: 'quantize one ONNX model to int8 with a folder of images',
    options: [
      ...(['data', 'output', 'preset', 'mean', 'std', 'size', 'count'] as const),
      ...(['method', 'equalization', 'rounding', 'biasCorrection', 'weightRange'] as const),
      ...(['target', 'inputType', 'sensitivity', 'reportFile', 'json'] as const),
    ],
    load: async () => (await import('./commands/quantize.ts')).quantize,
  },
  {
    name: 'schema',
    arguments: '',
    summary: 'print the JSON Schema of pipeline files',
    options: [],
    load: async () => (await import('./commands/schema.ts')).schema,
  },
  {
    name: 'doctor',
    arguments: '',
    summary: 'show what is installed and what is missing on this machine',
    options: [],
    load: async () => {
      const { runDoctor } = await import('./commands/doctor.ts');
      return ({ context }) => runDoctor((line) => context.print(line));
    },
  },
  {
    name: 'setup',
    arguments: '',
    summary: 'fetch the TensorFlow binding that training needs',
    options: [],
    load: async () => (await import('./commands/setup-command.ts')).setup,
  },
  {
    name: 'exec-stage',
    arguments: '<request>',
    summary: 'run one stage in this process (called by drq itself)',
    options: [],
    hidden: true,
    load: async () => {
      const { execStage } = await import('./commands/exec-stage.ts');
      const { shareLibrary } = await import('./share-library.ts');
      shareLibrary(); // the stage may be of a kind of the user's own
      return ({ arguments: [request = ''], context }) => execStage(request, context.signal);
    },
  },
];
