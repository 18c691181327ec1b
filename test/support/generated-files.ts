import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipelineJsonSchema } from '../../src/pipeline/json-schema.ts';
import { parameterReference } from '../../src/pipeline/parameter-reference.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { registry } from '../../stages/registry.ts';

const START = '<!-- generated: stage kinds (npm run generate) -->';
const END = '<!-- end of generated -->';

/** Files that are made from the stage schemas, by path below the checkout, with what they must hold. */
export async function generatedFiles(): Promise<ReadonlyMap<string, string>> {
  const readme = await readFile(join(packageRoot(), 'README.md'), 'utf8');
  return new Map([
    [
      'pipelines/pipeline.schema.json',
      `${JSON.stringify(pipelineJsonSchema(registry), null, 2)}\n`,
    ],
    ['README.md', withReference(readme, parameterReference(registry))],
  ]);
}

function withReference(readme: string, reference: string): string {
  const start = readme.indexOf(START);
  const end = readme.indexOf(END);
  if (start === -1 || end === -1) throw new Error(`README.md has lost "${START}" or "${END}"`);
  return `${readme.slice(0, start + START.length)}\n\n${reference.trim()}\n\n${readme.slice(end)}`;
}
