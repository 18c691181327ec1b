import assert from 'node:assert/strict';
import { execa } from 'execa';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { parseCommandLine } from '../../src/cli/command-line.ts';
import { graphOf } from '../../src/onnx/model.ts';
import { readOnnx } from '../../src/onnx/reader.ts';
import { writeOnnx } from '../../src/onnx/writer.ts';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { createRig } from '../support/rig.ts';
import { TINY_SIZE, tinyConvnet } from '../support/tiny-convnet.ts';

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
  await rig.write('package.json', '{"type":"commonjs"}'); // what `npm init -y` makes
  await rig.write('count-images.mjs', await blockWith('js', '// count-images.mjs'));
  const stages = await blockWith('yaml', 'kind: ./count-images.mjs');
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
  const source = await rig.read('count-images.mjs');
  await rig.write(
    'count-images.mjs',
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

test("the README's library example runs under plain Node", async (context) => {
  const rig = await createRig(context);
  await writeOnnx(rig.path('model.onnx'), tinyConvnet());
  await mkdir(rig.path('photographs'));
  for (let i = 0; i < 4; i += 1) {
    const background = { r: 40 * i, g: 90, b: 200 - 30 * i };
    await sharp({ create: { width: 20, height: 20, channels: 3, background } })
      .png()
      .toFile(rig.path(`photographs/${i}.png`));
  }
  // As npm would put it there, but of this build.
  await rig.write('node_modules/drq/package.json', '{"type":"module","exports":"./index.js"}');
  const library = new URL('../../src/index.js', import.meta.url).href;
  await rig.write('node_modules/drq/index.js', `export * from '${library}';\n`);
  await rig.write('package.json', '{"type":"commonjs"}'); // what `npm init -y` makes
  const example = await blockWith('js', '// quantize-model.mjs');
  await rig.write('quantize-model.mjs', example.replaceAll('224', String(TINY_SIZE)));
  const { stdout } = await execa(process.execPath, ['quantize-model.mjs'], { cwd: rig.root });
  assert.match(stdout, /^3 layers in int8, 0 nodes in float$/m);
  assert.match(stdout, /^top-1 agreement 1, the rest of the folder$/m);
  assert.match(await rig.read('report.md'), /## Fidelity to the float model\n\nOn 1 images/);
  assert.match(stdout, /min: -0\.5, max: 0\.4375/);
  const quantized = graphOf(await readOnnx(rig.path('model.int8.onnx')));
  assert.ok(quantized.node.some(({ opType }) => opType === 'QuantizeLinear'));
});
