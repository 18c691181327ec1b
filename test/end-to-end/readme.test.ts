import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCommandLine } from '../../src/cli/command-line.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { createRig } from '../support/rig.ts';

/** Texts of the README's fenced blocks in one language, in order. */
async function blocksOf(language: string): Promise<string[]> {
  const readme = await readFile(join(packageRoot(), 'README.md'), 'utf8');
  return [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, found]) => found === language)
    .map(([, , text]) => text ?? '');
}

async function blockWith(language: string, part: string): Promise<string> {
  const block = (await blocksOf(language)).find((text) => text.includes(part));
  assert.ok(block !== undefined, `README.md has no ${language} block with "${part}"`);
  return block;
}

test("the README's stage kind of one's own runs as it stands there", async (context) => {
  const rig = await createRig(context);
  await rig.write('count-images.js', await blockWith('js', '// count-images.js'));
  const stages = await blockWith('yaml', 'kind: ./count-images.js');
  await rig.write('own.yaml', `name: own\n${stages}`);
  const sets = ['train=3', 'validation=1', 'test=1'].flatMap((each) => [
    '--set',
    `stages.ingest.parameters.generate.imagesPerClass.${each}`,
  ]);
  const { exitCode, stderr } = await rig.drq('run', 'own.yaml', ...sets);
  assert.equal(exitCode, 0, stderr);
  // Seven grades, three photographs of each.
  assert.match(await rig.read('experiments/own/lock.yaml'), /metrics\/imageCount: 21$/m);

  // The digest of its source joins the key.
  const source = await rig.read('count-images.js');
  await rig.write(
    'count-images.js',
    source.replace('=== parameters.split', '!== parameters.split'),
  );
  const again = await rig.drq('plan', 'own.yaml', ...sets);
  assert.match(again.stdout, /^run +count +source of .* changed$/m);
});

test("the README's pipeline is a valid one", async (context) => {
  const rig = await createRig(context);
  await rig.write('sweep.yaml', await blockWith('yaml', 'name: sweep'));
  const { exitCode, stdout, stderr } = await rig.drq('plan', 'sweep.yaml', '--profile', 'quick');
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /quantize@granularity=per-channel/);
});

test("the README's command lines are ones that drq takes", async () => {
  const lines = (await blocksOf('sh')).flatMap((text) =>
    text.split('\n').flatMap((line) => /^npx drq ([^#]*)/.exec(line)?.[1]?.trim() ?? []),
  );
  assert.ok(lines.length >= 5, `found ${lines.length} command lines`);
  for (const line of lines) {
    const argv = [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
    const parsed = await parseCommandLine(argv, () => '0');
    assert.equal(parsed.type, 'command', `${line}: ${JSON.stringify(parsed)}`);
  }
});
