import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadPipeline } from '../../../src/graph/load-pipeline.ts';
import { packageRoot } from '../../../src/runtime/package-root.ts';
import { SAMPLE_KINDS, loadText, problemsOf } from '../../support/sample-kinds.ts';

const STAGES = 'stages: { a: { kind: source } }\n';

test('all mistakes of a file and of the command line are reported together, each once', async () => {
  const fixture = join(packageRoot(), 'test/fixtures/pipelines/many-mistakes');
  const text = await readFile(`${fixture}.yaml`, 'utf8');
  const sets = [
    'vars.epoch=3',
    'stages.train.parameters.epochs=x',
    'stages.trian.parameters.epochs=1',
    'stages.data.kind=fit',
    'bar.x=1',
    'vars.a=[1',
    'foo',
  ];
  assert.equal(await problemsOf(text, { sets }), await readFile(`${fixture}.txt`, 'utf8'));
});

async function onlyProblem(text: string): Promise<string> {
  const { result } = await loadText(text);
  assert.ok(!result.ok);
  const found = result.error.map(({ code, message, range }) => {
    const place = range === undefined ? '' : text.slice(range.start, range.end);
    return `${code} [${place}] ${message}`;
  });
  assert.equal(found.length, 1, found.join('\n'));
  return found[0] ?? '';
}

test('broken YAML is one message at its place', async () => {
  assert.match(
    await onlyProblem('name: x\nstages: [1,\nb: 2\n'),
    /^pipeline\/syntax .*flow sequence/,
  );
  assert.match(await onlyProblem('name: x\nstages:\n\ta: 1\n'), /^pipeline\/syntax .*tabs/);
  assert.match(await onlyProblem(`name: x\n${STAGES}---\nname: y\n`), /several documents/);
  assert.match(await onlyProblem(`name: !!foo x\n${STAGES}`), /^pipeline\/syntax \[!!foo\]/);
  assert.match(
    await onlyProblem(`name: x\nname: y\n${STAGES}`),
    /^pipeline\/duplicate-key \[name\]/,
  );
});

test('what is no pipeline at all is said once', async () => {
  assert.match(await onlyProblem(''), /^pipeline\/empty/);
  assert.match(await onlyProblem('# nothing\n'), /^pipeline\/empty/);
  assert.match(await onlyProblem('- 1\n'), /must be a mapping/);
  assert.match(
    await onlyProblem('name: x\n'),
    /^pipeline\/missing-key \[name\] "stages" is missing/,
  );
  assert.match(await onlyProblem('name: x\nstages: {}\n'), /has no stages/);
});

test('a name that no object can safely have is refused like any other', async () => {
  const rule = 'must begin with a letter and have only letters, digits, "-" and "_"';
  for (const name of ['_x', '__proto__']) {
    assert.equal(
      await onlyProblem(`name: x\nstages: { a: { kind: source }, ${name}: { kind: source } }\n`),
      `pipeline/invalid-name [${name}] the name "${name}" ${rule}`,
    );
  }
});

test('the name of a pipeline, which is that of a folder, is no longer than a folder may be', async () => {
  const problem = await onlyProblem(`name: ${'a'.repeat(300)}\n${STAGES}`);
  assert.match(
    problem,
    /^pipeline\/invalid-value \[a{300}\] "name" must have at most 100 characters, received "a{300}"$/,
  );
  const { result } = await loadText(`name: ${'a'.repeat(100)}\n${STAGES}`);
  assert.ok(result.ok);
});

test('aliases are followed, but not in circles and not without end', async () => {
  const { result } = await loadText(
    'name: x\nstages:\n  a: &a { kind: source, parameters: { imageCount: 4 } }\n  b: *a\n',
  );
  assert.ok(result.ok);
  assert.equal([...result.value.graph.nodes.values()][1]?.parameters['imageCount'], 4);
  assert.match(await onlyProblem('name: x\nstages: *no\n'), /^pipeline\/invalid-alias \[\*no\]/);
  assert.match(
    await onlyProblem(`name: x\nvars: &v { a: *v }\n${STAGES}`),
    /inside what it refers to/,
  );
  const lines = Array.from('bcdefghij', (letter, index) => {
    const aliases = Array<string>(10).fill(`*${'abcdefghi'.charAt(index)}`);
    return `  ${letter}: &${letter} [${aliases.join(', ')}]`;
  });
  const bomb = `name: x\nvars:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n${lines.join('\n')}\n${STAGES}`;
  assert.match(await onlyProblem(bomb), /more than 10000 values/);
});

test('a file that is missing, a folder or not UTF-8 is named', async () => {
  const options = { registry: SAMPLE_KINDS, sets: [], cwd: tmpdir() };
  const missing = await loadPipeline('drq-no-such-file.yaml', options);
  assert.ok(!missing.ok);
  assert.equal(missing.error[0]?.message, 'there is no such file');
  assert.equal(missing.error[0].range?.file, join(tmpdir(), 'drq-no-such-file.yaml'));
  const folder = await loadPipeline('.', options);
  assert.ok(!folder.ok);
  assert.match(folder.error[0]?.message ?? '', /is a folder/);
  const binary = await loadText(new Uint8Array([0x6e, 0xff, 0xfe]));
  assert.ok(!binary.result.ok);
  assert.match(binary.result.error[0]?.message ?? '', /not UTF-8/);
  const huge = await loadText(`# ${'x'.repeat(2 ** 20)}`);
  assert.ok(!huge.result.ok);
  assert.match(huge.result.error[0]?.message ?? '', /may have at most/);
});

test('a misspelled section or key is one mistake, whatever depends on it', async () => {
  const text =
    'name: x\nvar: { n: 2 }\nstages: { a: { kind: source, parameters: { imageCount: "${vars.n}" } } }\n';
  assert.match(await onlyProblem(text), /^pipeline\/unknown-key \[var\]/);
  assert.match(
    await onlyProblem(
      `name: x\nstages:\n  a: { knd: source }\n  b: { kind: fit, inputs: { images: a }, parameters: { architecture: small } }\n`,
    ),
    /^pipeline\/unknown-key \[knd\]/,
  );
});

test('matrices that cannot be are refused', async () => {
  const stage = (matrix: string, rest = ''): string =>
    `name: x\nstages:\n  a: { kind: source, matrix: ${matrix}${rest} }\n`;
  assert.match(await onlyProblem(stage('{}')), /^pipeline\/empty-matrix/);
  assert.match(
    await onlyProblem(stage('{ n: [1], exclude: [{ n: 1 }] }')),
    /^pipeline\/empty-matrix/,
  );
  assert.match(await onlyProblem(stage('{ n: [1, "1"] }')), /the cell a@n=1 twice/);
  assert.match(await onlyProblem(stage('{ n: 3 }')), /"matrix.n" must be a list of values/);
  const axes = Array.from('abcdef', (axis) => `${axis}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]`);
  assert.match(await onlyProblem(stage(`{ ${axes.join(', ')} }`)), /spans 1000000 cells/);
  assert.match(
    await onlyProblem(
      stage(
        '{ n: [1], include: [{ n: 2, extra: 3 }] }',
        ', parameters: { imageCount: "${matrix.extra}" }',
      ),
    ),
    /^pipeline\/unknown-axis \[\$\{matrix\.extra\}\] the cell n=1 has no value of the axis "extra"/,
  );
  assert.match(
    await onlyProblem(
      `${stage('{ n: [1] }')}  b: { kind: fit, matrix: { n: [1, 2] }, inputs: { images: a }, parameters: { architecture: small } }\n`,
    ),
    /^pipeline\/no-matching-cell \[matrix\] stage "b" \(cell n=2\)/,
  );
});

test('references that cannot be are refused at their place', async () => {
  const fit = (note: string): string =>
    `name: x\nvars: { l: [1], n: null }\nstages:\n  d: { kind: source }\n  a: { kind: fit, inputs: { images: d }, parameters: { architecture: small, note: '${note}' } }\n`;
  assert.match(await onlyProblem(fit('${vars.l')), /\[\$\{vars\.l\] .*closing/);
  assert.match(await onlyProblem(fit('a ${vars.l}')), /\[\$\{vars\.l\}\] .*is a list/);
  assert.match(await onlyProblem(fit('a ${vars.n}')), /\[\$\{vars\.n\}\] .*is null/);
  assert.match(await onlyProblem(fit('${env.HOME}')), /is not a reference/);
  assert.match(await onlyProblem(fit('${inputs.images}')), /can be used only in parameters of/);
  assert.match(await onlyProblem(fit('${matrix.constructor}')), /no matrix axis/);
  assert.match(
    await onlyProblem(fit('${vars.l}')),
    /must be a text, received a list \(from \$\{vars\.l\}\)/,
  );
});

test('inputs are checked for what they name and what it is', async () => {
  const graph = (stage: string): string =>
    `name: x\nvars: { n: null }\nstages:\n  d: { kind: source }\n  t: { kind: fit, inputs: { images: d }, parameters: { architecture: small } }\n  s: ${stage}\n`;
  const cases: [string, RegExp][] = [
    ['{ kind: score }', /^pipeline\/missing-input \[s\]/],
    [
      '{ kind: score, inputs: { model: "${vars.n}" } }',
      /^pipeline\/missing-input \[\$\{|^pipeline\/missing-input \["\$\{vars\.n\}"\]/,
    ],
    ['{ kind: score, inputs: { model: { path: "${vars.n}" } } }', /is required, received null/],
    ['{ kind: score, inputs: { model: d } }', /^pipeline\/wrong-kind \[d\]/],
    [
      '{ kind: score, inputs: { model: d.dataset } }',
      /takes model\/onnx, but d\.dataset is dataset/,
    ],
    [
      '{ kind: score, inputs: { model: { path: p.yaml } } }',
      /must be an \.onnx file|must be a file/,
    ],
    [
      '{ kind: score, inputs: { model: t, images: { path: p.yaml } } }',
      /from another stage, not a path/,
    ],
    ['{ kind: program, inputs: { x: t }, parameters: { program: x } }', /has 2 outputs/],
    ['{ kind: score, inputs: { model: t }, outputs: { x: { path: y } } }', /has its own outputs/],
    [
      '{ kind: program, outputs: { o: { path: a/ }, p: { path: a/../a/b } }, parameters: { program: x } }',
      /the path of output "p" \("a\/b"\) lies inside that of output "o" \("a"\)/,
    ],
    [
      '{ kind: program, outputs: { o: { path: a/b }, x: { path: ab }, p: { path: a } }, parameters: { program: x } }',
      /the path of output "p" \("a"\) holds that of output "o" \("a\/b"\)/,
    ],
    [
      '{ kind: program, outputs: { o: { path: ../x } }, parameters: { program: x } }',
      /must stay inside/,
    ],
    ['{ kind: program, parameters: { program: "${inputs.x}" } }', /the stage has no input "x"/],
    [
      '{ kind: program, inputs: { x: t.model }, parameters: { program: "$${inputs.x}" } }',
      /cannot be written here/,
    ],
  ];
  for (const [stage, expected] of cases) assert.match(await onlyProblem(graph(stage)), expected);
});

test('a profile that is not chosen is checked too', async () => {
  const text = `name: x\nprofiles: { p: { stages: { a: { parameters: { imageCount: 0 } } } } }\n${STAGES}`;
  assert.match(await onlyProblem(text), /^pipeline\/invalid-value \[0\] stage "a"/);
  const chosen = await problemsOf(`name: x\n${STAGES}`, { profile: 'p' });
  assert.equal(
    chosen,
    'error pipeline/unknown-profile\n  --profile p: the pipeline has no profile "p"\n  hint: the pipeline has no profiles\n',
  );
});

test('what is wrong hides nothing that can be told beside it', async () => {
  const found = await problemsOf(`name: x
stages:
  typo: { kind: source, parameters: { layout: folders, imageCont: 1, imageCount: none } }
  fed: { kind: source, inputs: { folder: { path: missing } }, parameters: { layout: folders } }
  one: { kind: fit, inputs: { images: two.model }, parameters: { architecture: small } }
  two: { kind: fit, inputs: { images: one.nothing }, parameters: { architecture: small } }
  out: { kind: program, outputs: { a: { path: ../a }, b: { pth: b } }, parameters: { program: x } }
`);
  const codes = [...found.matchAll(/^p\.yaml:(\d+):\d+ error (.*)$/gm)];
  assert.deepEqual(
    codes.map(([, line, code]) => `${line ?? ''} ${code ?? ''}`),
    [
      '3 pipeline/missing-input',
      '3 pipeline/unknown-parameter',
      '3 pipeline/invalid-value',
      '4 pipeline/missing-path',
      '5 pipeline/wrong-kind',
      '6 pipeline/unknown-output',
      '6 pipeline/cycle',
      '7 pipeline/invalid-value',
      '7 pipeline/unknown-key',
    ],
    found,
  );
});

test('a default may do without an input that the same value must have where it is written', async () => {
  assert.ok((await loadText(`name: x\n${STAGES}`)).result.ok);
  const written = 'stages: { a: { kind: source, parameters: { layout: auto } } }';
  assert.match(
    await onlyProblem(`name: x\n${written}\n`),
    /^pipeline\/missing-input \[parameters\] stage "a": layout auto needs the input "folder"/,
  );
});
