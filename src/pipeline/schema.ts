import { z } from 'zod';
import { ARTIFACT_KINDS, type ArtifactKind } from '../stage/artifact.ts';

/** Stages, inputs, outputs, variables and axes: no dot, `@`, `#` or `=`, which references use. */
export const NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_-]*$/;
export const NAME_RULE = 'must begin with a letter and have only letters, digits, "-" and "_"';

/** Text with a `${…}` in it: checked again once it is replaced. */
export const TEMPLATE_PATTERN = /\$\{/;

/** A stage kind of the user's own: a module named relative to the pipeline. */
export const OWN_KIND_PATTERN = /^\.{1,2}\/.*\.m?js$/;

// Aborts, so that a union reports its own text and not that a pattern did not match.
const template = z.string().regex(TEMPLATE_PATTERN, { abort: true });
const scalar = z.union([z.string(), z.number(), z.boolean()], {
  error: 'must be a text, a number, true or false',
});
const VARIABLE_RULE = 'must be a text, a number, true, false, null or a list of these';
const nullableScalar = z.union([z.string(), z.number(), z.boolean(), z.null()], {
  error: VARIABLE_RULE,
});
const name = z.string().regex(NAME_PATTERN, NAME_RULE);

const varsSchema = z
  .record(name, z.union([nullableScalar, z.array(nullableScalar)], { error: VARIABLE_RULE }))
  .describe(
    'Values used elsewhere as ${vars.NAME}; --set vars.NAME=VALUE changes them. A value that is ' +
      'nothing but ${vars.NAME} keeps its type.',
  );

const pathInputSchema = z
  .strictObject({
    path: z
      .union([z.string().min(1), z.null()], { error: 'must be a path, or null for "not given"' })
      .describe(
        'A file or folder, relative to the project root (on the command line: to the current folder); null: not given.',
      ),
  })
  .describe('A file or folder of your own.');

const inputsSchema = z
  .record(
    name,
    z.union([z.string().min(1), z.null(), pathInputSchema], {
      error: 'must be "stage.output", { path: … } or null',
    }),
  )
  .describe(
    'What the stage reads: stage.output of another stage (the output may be left out when only one fits), or { path: … }.',
  );

const parametersSchema = z
  .record(z.string(), z.json())
  .describe('Parameters of the stage; those left out have their defaults.');

const cellSchema = z.record(name, scalar);

/** Axes are whatever other keys it has. */
export const matrixSchema = z
  .object({
    include: z
      .array(cellSchema)
      .exactOptional()
      .describe('Cells to add, or coordinates to add to cells they agree with.'),
    exclude: z
      .array(cellSchema)
      .exactOptional()
      .describe('Cells to leave out; part of a cell matches it.'),
  })
  .catchall(
    z.union([z.array(z.union([scalar, template])), template], {
      error: 'must be a list of values, or ${vars.NAME} of a list',
    }),
  )
  .describe(
    'Runs the stage, and what depends on it, once for each combination of these values, used as ${matrix.AXIS}.',
  );

export const resourcesSchema = z
  .strictObject({
    cpus: z
      .union([z.int().min(1), z.literal('all'), template], {
        error: 'must be a whole number from 1, or all',
      })
      .exactOptional()
      .describe('Cores the stage may use; all: every core of the run.'),
  })
  .describe('What the stage may use; never changes its result.');

// The keys of a constant object are exactly its literal keys.
const kindNames = Object.keys(ARTIFACT_KINDS) as [ArtifactKind, ...ArtifactKind[]];

export const declaredOutputsSchema = z
  .record(
    name,
    z.strictObject({
      path: z
        .string()
        .min(1)
        .describe('Where the program writes it, relative to its working folder.'),
      kind: z
        .enum(kindNames)
        .exactOptional()
        .describe('What it is; left out: file, or folder when the path ends in "/".'),
    }),
  )
  .describe('Outputs of a stage whose kind leaves them to the pipeline (command): name → path.');

const stageSchema = z.strictObject({
  kind: z
    .string()
    .min(1)
    .describe('What the stage does: a kind of drq, or ./my-stage.js beside the pipeline.'),
  inputs: inputsSchema.exactOptional(),
  parameters: parametersSchema.exactOptional(),
  matrix: matrixSchema.exactOptional(),
  resources: resourcesSchema.exactOptional(),
  outputs: declaredOutputsSchema.exactOptional(),
});

const profileSchema = z.strictObject({
  description: z.string().exactOptional().describe('What the profile is for.'),
  vars: varsSchema.exactOptional(),
  stages: z
    .record(
      name,
      z.strictObject({
        parameters: parametersSchema.exactOptional(),
        inputs: inputsSchema.exactOptional(),
        matrix: matrixSchema.exactOptional(),
        resources: resourcesSchema.exactOptional(),
      }),
    )
    .exactOptional()
    .describe('Changes to stages, laid over them; lists are replaced whole.'),
});

const tableSchema = z.strictObject({
  rows: z
    .array(
      z.strictObject({
        labels: z
          .object({
            model: scalar.describe('The model, as the table and the reference name it.'),
            precision: scalar.describe('fp32, int8, …'),
          })
          .catchall(scalar)
          .describe('Label columns of the row; cell coordinates of a matrix are added.'),
        from: z
          .array(z.string().min(1))
          .min(1)
          .describe(
            'Metrics outputs: stage.output, or stage.output#subject for one of several models.',
          ),
      }),
    )
    .min(1)
    .describe('Rows; one whose stages have a matrix becomes one row a cell.'),
  notes: z.array(z.string()).exactOptional().describe('Remarks printed below the table.'),
});

const numberOrTemplate = z.union([z.number(), template], { error: 'must be a number' });

export const referenceSchema = z.strictObject({
  source: z.string().min(1).describe('Where the figures were published.'),
  rows: z.array(
    z.strictObject({
      model: scalar.describe('As in the labels of the table rows it belongs to.'),
      precision: scalar.describe('As in the labels of the table rows it belongs to.'),
      top1Percent: numberOrTemplate.exactOptional().describe('Published top-1 accuracy, percent.'),
      sizeMb: numberOrTemplate.exactOptional().describe('Published model size, megabytes.'),
      latencyMs: numberOrTemplate.exactOptional().describe('Published latency, milliseconds.'),
      note: z
        .string()
        .exactOptional()
        .describe('A remark, for instance why the figure cannot be right.'),
    }),
  ),
});

/** Everything of a pipeline but the parameters of its stages, before `${…}` is replaced. */
export const pipelineFileSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be kebab-case: a-z, 0-9 and single "-" between')
    .max(100, 'must have at most 100 characters')
    .describe('Names the folder under experiments/; kebab-case.'),
  description: z.string().exactOptional().describe('What the pipeline is for.'),
  vars: varsSchema.exactOptional(),
  profiles: z
    .record(name, profileSchema)
    .exactOptional()
    .describe('Named changes of vars and stages, chosen with --profile.'),
  stages: z.record(name, stageSchema).describe('Stages by id; their order does not matter.'),
  tables: z
    .record(name, tableSchema)
    .exactOptional()
    .describe('Tables of figures, written to experiments/<pipeline>/.'),
  reference: referenceSchema
    .exactOptional()
    .describe('Published figures, shown beside the measured ones.'),
});
