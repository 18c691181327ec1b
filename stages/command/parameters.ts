import { z } from 'zod';

const PLACEHOLDERS =
  '`${inputs.name}` and `${outputs.name}` stand for the absolute path of an input or output';

export const commandParameters = z.strictObject({
  program: z
    .string()
    .min(1)
    .refine((program) => !isRelativePath(program), {
      error:
        'must be a name on PATH, an absolute path or ${inputs.name}; for a file of the project, declare it as an input, so that a change of it runs the stage again',
    })
    .describe(`Name of a program on PATH, or its absolute path; ${PLACEHOLDERS}.`),
  arguments: z
    .array(z.union([z.string(), z.number()]).transform(String))
    .prefault([])
    .describe(`Given to the program as they are, with no shell between; ${PLACEHOLDERS}.`),
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string())
    .default({})
    .describe(
      `Variables for the program beside PATH, HOME, the locale and the temporary folder; ${PLACEHOLDERS}.`,
    ),
  timeoutSeconds: z
    .number()
    .positive()
    .max(2_000_000)
    .exactOptional()
    .describe('The program is stopped after this many seconds; no limit when left out.'),
});
export type CommandParameters = z.output<typeof commandParameters>;

function isRelativePath(program: string): boolean {
  if (program.startsWith('${') || program.startsWith('/')) return false;
  const isWindowsDrive = /^[A-Za-z]:[\\/]/.test(program);
  return !isWindowsDrive && /[\\/]/.test(program);
}
