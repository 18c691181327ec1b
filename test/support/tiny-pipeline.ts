import { libraryUrl, type Rig } from './rig.ts';

/** Writes two tiny stage kinds and a pipeline of three stages made of them. */
export async function writeTinyPipeline(rig: Rig): Promise<void> {
  await rig.write('count.mjs', COUNT_KIND.replace('LIBRARY', libraryUrl()));
  await rig.write('join.mjs', JOIN_KIND.replace('LIBRARY', libraryUrl()));
  await rig.write('words.txt', 'one two three\n');
  await rig.write('tiny.yaml', PIPELINE);
}

export const PIPELINE = `name: tiny
vars: { factor: 2 }
stages:
  count:
    kind: ./count.mjs
    inputs: { text: { path: words.txt } }
    parameters: { factor: '\${vars.factor}' }
  other:
    kind: ./count.mjs
    inputs: { text: { path: words.txt } }
    parameters: { factor: 10 }
  join:
    kind: ./join.mjs
    inputs: { a: count.metrics, b: other.metrics }
tables:
  comparison:
    rows:
      - labels: { model: tiny, precision: fp32 }
        from: [count.metrics]
      - labels: { model: tiny, precision: int8 }
        from: [join.metrics]
reference:
  source: nobody
  rows:
    - { model: tiny, precision: fp32, top1Percent: 50, note: made up }
`;

/** Counts words; `mode` makes it fail, or wait until it is stopped. */
const COUNT_KIND = `
import { readFile } from 'node:fs/promises';
import { defineStage, UsageError, writeMetricsFile, z } from 'LIBRARY';

export default defineStage({
  kind: 'count',
  version: 1,
  description: 'Counts the words of a text.',
  parameters: z.strictObject({
    factor: z.number().default(1).describe('What the count is multiplied by.'),
    mode: z.enum(['count', 'fail', 'crash', 'wait']).default('count').describe('For tests.'),
  }),
  inputs: { text: { kinds: ['file'], description: 'The text.' } },
  outputs: { metrics: { kind: 'metrics', description: 'The count.' } },
  runtimes: [],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 1,
  isolation: 'in-process',
  async run({ inputs, outputs, parameters, progress, signal }) {
    if (parameters.mode === 'fail') {
      throw new UsageError({ code: 'count/refused', message: 'no counting today', hint: 'come back' });
    }
    if (parameters.mode === 'crash') throw new TypeError('a mistake in the stage');
    progress({ done: 1, total: 2, unit: 'words' });
    if (parameters.mode === 'wait') {
      await new Promise((resolve, reject) => {
        const timer = setInterval(() => {}, 1000);
        signal.addEventListener('abort', () => {
          clearInterval(timer);
          reject(signal.reason);
        });
      });
    }
    const words = (await readFile(inputs.text.path, 'utf8')).trim().split(/\\s+/);
    await writeMetricsFile(outputs.metrics, {
      values: [
        { name: 'top1Fraction', value: words.length / 10, unit: 'fraction', direction: 'higher-is-better', interval: [0.1, 0.9] },
        { name: 'sizeBytes', value: words.length * parameters.factor, unit: 'bytes', direction: 'lower-is-better' },
      ],
      notes: [],
      details: {},
    });
  },
});
`;

const JOIN_KIND = `
import { defineStage, readMetricsFile, writeMetricsFile, z } from 'LIBRARY';

export default defineStage({
  kind: 'join',
  version: 1,
  description: 'Adds the sizes of two counts.',
  parameters: z.strictObject({}),
  inputs: {
    a: { kinds: ['metrics'], description: 'One count.' },
    b: { kinds: ['metrics'], description: 'Another.' },
  },
  outputs: { metrics: { kind: 'metrics', description: 'The sum.' } },
  runtimes: [],
  cache: 'content',
  scheduling: 'parallel',
  defaultCpuCount: 1,
  isolation: 'in-process',
  async run({ inputs, outputs }) {
    const size = async (path) =>
      (await readMetricsFile(path)).values.find(({ name }) => name === 'sizeBytes').value;
    await writeMetricsFile(outputs.metrics, {
      values: [
        { name: 'sizeBytes', value: (await size(inputs.a.path)) + (await size(inputs.b.path)), unit: 'bytes', direction: 'lower-is-better' },
      ],
      notes: ['a sum'],
      details: {},
    });
  },
});
`;
