import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pipeline } from '../../../src/pipeline/spec.ts';
import { loadValid, problemsOf } from '../../support/sample-kinds.ts';

const SWEEP = `
name: sweep
description: a sweep
vars:
  epochs: 3
  again: \${vars.epochs}
  sizes: [4, 16]
  label: run \${vars.again}
  folder: null
profiles:
  smoke:
    vars: { epochs: 1 }
    stages:
      train: { parameters: { schedule: { factor: 0.5 } } }
      calibrate: { matrix: { method: [min-max] } }
stages:
  score:
    kind: score
    inputs: { model: quantize.model, baseline: train, images: data }
  quantize:
    kind: quantize
    matrix: { granularity: [per-tensor, per-channel] }
    inputs: { model: train.model, calibration: calibrate }
    parameters: { granularity: '\${matrix.granularity}' }
  calibrate:
    kind: calibrate
    matrix:
      imageCount: \${vars.sizes}
      method: [min-max, percentile]
      exclude: [{ imageCount: 4, method: percentile }]
    inputs: { model: train, images: data }
    parameters: { imageCount: '\${matrix.imageCount}', method: '\${matrix.method}' }
  train:
    kind: fit
    inputs: { images: data }
    parameters:
      architecture: small
      epochs: \${vars.again}
      note: \${vars.label} of $\${x}
      schedule: { milestones: [1] }
  data:
    kind: source
    inputs: { folder: { path: '\${vars.folder}' } }
tables:
  main:
    rows:
      - labels: { model: small, precision: int8, images: '\${matrix.imageCount}' }
        from: [score.metrics#model, quantize]
      - labels: { model: small, precision: fp32 }
        from: [score#baseline]
    notes: ['epochs: \${vars.epochs}']
reference:
  source: a paper
  rows: [{ model: small, precision: fp32, top1Percent: '\${vars.epochs}', note: n }]
`;

const CELLS = [
  'imageCount=4,method=min-max',
  'imageCount=16,method=min-max',
  'imageCount=16,method=percentile',
];

function ids(pipeline: Pipeline, stageName: string): string[] {
  return [...pipeline.graph.nodes.values()]
    .filter((node) => node.stageName === stageName)
    .map(({ id }) => id);
}

function node(pipeline: Pipeline, id: string): ReturnType<typeof find> {
  return find(pipeline, id);
}

function find(pipeline: Pipeline, id: string) {
  const found = [...pipeline.graph.nodes.values()].find((each) => each.id === id);
  assert.ok(found, `no node ${id}`);
  return found;
}

test('a matrix is expanded, inherited by what depends on it, and in topological order', async () => {
  const pipeline = await loadValid(SWEEP);
  assert.deepEqual(
    ids(pipeline, 'calibrate'),
    CELLS.map((cell) => `calibrate@${cell}`),
  );
  // Axes in the order the file first names them: granularity stands above imageCount.
  const expected = CELLS.flatMap((cell) =>
    ['per-tensor', 'per-channel'].map((each) => `granularity=${each},${cell}`),
  );
  assert.deepEqual(
    ids(pipeline, 'quantize'),
    expected.map((cell) => `quantize@${cell}`),
  );
  assert.deepEqual(
    ids(pipeline, 'score'),
    expected.map((cell) => `score@${cell}`),
  );
  assert.deepEqual(
    [...new Set([...pipeline.graph.nodes.values()].map(({ stageName }) => stageName))],
    ['data', 'train', 'calibrate', 'quantize', 'score'],
  );
  const quantized = node(pipeline, 'quantize@granularity=per-tensor,imageCount=16,method=min-max');
  assert.deepEqual(quantized.inputs, {
    model: { from: 'stage', stageId: 'train', output: 'model', kind: 'model/onnx' },
    calibration: {
      from: 'stage',
      stageId: 'calibrate@imageCount=16,method=min-max',
      output: 'table',
      kind: 'calibration-table',
    },
  });
  assert.deepEqual(quantized.cell, {
    granularity: 'per-tensor',
    imageCount: 16,
    method: 'min-max',
  });
});

test('references keep their type, texts are filled, defaults too', async () => {
  const pipeline = await loadValid(SWEEP);
  assert.deepEqual(node(pipeline, 'train').parameters, {
    architecture: 'small',
    epochs: 3,
    learningRate: 0.01,
    note: 'run 3 of ${x}',
    schedule: { milestones: [1], factor: 0.1 },
  });
  const calibrated = node(pipeline, 'calibrate@imageCount=4,method=min-max');
  assert.deepEqual(calibrated.parameters, { imageCount: 4, method: 'min-max' });
  assert.deepEqual(pipeline.vars, {
    epochs: 3,
    again: 3,
    sizes: [4, 16],
    label: 'run 3',
    folder: null,
  });
  assert.deepEqual(node(pipeline, 'data').inputs, {});
  assert.deepEqual(node(pipeline, 'data').resources, { cpuCount: 1 });
  assert.deepEqual(node(pipeline, `score@granularity=per-tensor,${CELLS[0] ?? ''}`).resources, {
    cpuCount: 'all',
  });
});

test('table rows of matrix stages become one row a cell, aligned, with coordinates as labels', async () => {
  const { tables, reference } = await loadValid(SWEEP);
  const [table] = tables;
  assert.equal(tables.length, 1);
  assert.equal(table?.rows.length, 12);
  assert.deepEqual(table.rows[1], {
    labels: {
      granularity: 'per-channel',
      imageCount: '4',
      method: 'min-max',
      model: 'small',
      precision: 'int8',
      images: '4',
    },
    sources: [
      {
        stageId: 'score@granularity=per-channel,imageCount=4,method=min-max',
        output: 'metrics',
        subject: 'model',
      },
      {
        stageId: 'quantize@granularity=per-channel,imageCount=4,method=min-max',
        output: 'report',
        subject: null,
      },
    ],
  });
  assert.deepEqual(table.notes, ['epochs: 3']);
  assert.deepEqual(reference, {
    source: 'a paper',
    rows: [{ model: 'small', precision: 'fp32', top1Percent: 3, note: 'n' }],
  });
});

test('a profile is laid over deeply, lists are replaced, and options come last', async () => {
  const smoke = await loadValid(SWEEP, { profile: 'smoke' });
  assert.equal(smoke.profile, 'smoke');
  assert.deepEqual(node(smoke, 'train').parameters['schedule'], { milestones: [1], factor: 0.5 });
  assert.equal(node(smoke, 'train').parameters['epochs'], 1);
  assert.equal(ids(smoke, 'calibrate').length, 2);

  const set = await loadValid(SWEEP, {
    profile: 'smoke',
    sets: [
      'vars.epochs=7',
      'stages.train.parameters.schedule.milestones=[2, 4]',
      'stages.quantize.matrix.granularity=[per-channel]',
      'stages.train.resources.cpus=2',
      'vars.label=a=b',
    ],
  });
  const train = node(set, 'train');
  assert.equal(train.parameters['epochs'], 7);
  assert.equal(train.parameters['note'], 'a=b of ${x}');
  assert.deepEqual(train.parameters['schedule'], { milestones: [2, 4], factor: 0.5 });
  assert.deepEqual(train.resources, { cpuCount: 2 });
  assert.equal(ids(set, 'quantize').length, 2);
});

test('paths are relative to the project, from the command line to the current folder', async () => {
  const text = `
name: paths
vars: { start: a.onnx, folder: null }
stages:
  data: { kind: source, inputs: { folder: { path: '\${vars.folder}' } } }
  train:
    kind: fit
    inputs: { images: data, initial: { path: '\${vars.start}' } }
    parameters: { architecture: small }
`;
  const files = { 'a.onnx': '', 'b.csv': '' };
  const pathOf = (pipeline: Pipeline, id: string, input: string): string | undefined => {
    const found = node(pipeline, id).inputs[input];
    return found?.from === 'path'
      ? found.absolutePath.replace(pipeline.projectRoot, 'ROOT')
      : undefined;
  };
  const inFile = await loadValid(text, { files });
  assert.equal(pathOf(inFile, 'train', 'initial'), 'ROOT/a.onnx');
  assert.equal(pathOf(inFile, 'data', 'folder'), undefined);

  const typed = await loadValid(text, { files, cwd: '..', sets: ['vars.folder=.'] });
  assert.equal(pathOf(typed, 'data', 'folder'), typed.projectRoot.replace(/\/[^/]*$/, ''));
  assert.equal(pathOf(typed, 'train', 'initial'), 'ROOT/a.onnx');
  const direct = await loadValid(text, {
    files,
    cwd: '..',
    sets: ['stages.data.inputs.folder.path=.'],
  });
  assert.equal(pathOf(direct, 'data', 'folder'), direct.projectRoot.replace(/\/[^/]*$/, ''));

  assert.equal(
    await problemsOf(text, { files, sets: ['vars.folder=b.cvs'] }),
    `p.yaml:5:51 error pipeline/missing-path
  stage "data": input "folder": there is no file or folder PROJECT/b.cvs
  5 |   data: { kind: source, inputs: { folder: { path: '\${vars.folder}' } } }
    |                                                   ~~~~~~~~~~~~~~~~
  hint: did you mean "b.csv"?
`,
  );
  assert.match(
    await problemsOf(text, { files, sets: ['vars.start=.'] }),
    /input "initial" must be a file, and PROJECT is a folder/,
  );
});

test('a kind that leaves inputs and outputs to the pipeline keeps run-time references', async () => {
  const text = `
name: tool
vars: { n: 2 }
stages:
  tool:
    kind: program
    matrix: { mode: [a, b] }
    inputs: { table: { path: t.csv } }
    outputs: { log: { path: 'out/\${matrix.mode}.log' }, pages: { path: out/pages/ } }
    parameters:
      program: tool
      arguments: ['\${inputs.table}', 'to=\${outputs.log}', 'n=\${vars.n}', '$\${HOME}']
  more: { kind: program, inputs: { log: tool.log }, parameters: { program: x } }
`;
  const pipeline = await loadValid(text, { files: { 't.csv': '' } });
  const tool = node(pipeline, 'tool@mode=b');
  assert.deepEqual(tool.parameters['arguments'], [
    '${inputs.table}',
    'to=${outputs.log}',
    'n=2',
    '${HOME}',
  ]);
  assert.deepEqual(tool.outputs, {
    log: { kind: 'file', path: 'out/b.log' },
    pages: { kind: 'folder', path: 'out/pages' },
  });
  assert.deepEqual(node(pipeline, 'more@mode=b').inputs['log'], {
    from: 'stage',
    stageId: 'tool@mode=b',
    output: 'log',
    kind: 'file',
  });
});

test('an input may choose its stage by an axis of its own matrix', async () => {
  const pipeline = await loadValid(`
name: models
stages:
  data: { kind: source }
  small: { kind: fit, inputs: { images: data }, parameters: { architecture: small } }
  large: { kind: fit, inputs: { images: data }, parameters: { architecture: large } }
  score:
    kind: score
    matrix: { model: [small, large] }
    inputs: { model: '\${matrix.model}.model' }
`);
  const model = node(pipeline, 'score@model=large').inputs['model'];
  assert.equal(model?.from === 'stage' ? model.stageId : undefined, 'large');
});

test('a comment, the order of keys and quoting change nothing', async () => {
  const plain =
    'name: x\nstages:\n  a: { kind: source, parameters: { imageCount: 3, layout: csv } }\n';
  const other =
    '# about x\nstages:\n  a:\n    parameters: { \'layout\': "csv", imageCount: 3 } # three\n    kind: source\nname: x\n';
  const [first, second] = [await loadValid(plain), await loadValid(other)];
  assert.deepEqual(node(second, 'a').parameters, node(first, 'a').parameters);
});

test('a row and an input name whole stages: the id of one cell is refused with how to write it', async () => {
  const cell = 'score@granularity=per-tensor,imageCount=4,method=min-max.metrics';
  const found = await problemsOf(`name: x
stages:
  data: { kind: source, inputs: {} }
  train: { kind: fit, inputs: { images: 'data@a=0.1' }, parameters: { architecture: small } }
  score: { kind: score, matrix: { a: [1, 2] }, inputs: { model: train, baseline: train, images: data } }
tables:
  main: { rows: [{ labels: { model: small }, from: ['${cell}'] }] }
`);
  assert.ok(
    found.includes(`
  table row: "${cell}" names one cell of stage "score"
`),
    found,
  );
  assert.match(
    found,
    /hint: name the stage as a whole, score\.metrics: a table row becomes one row a cell/,
  );
  assert.match(found, /hint: name the stage as a whole, data: /);
  assert.match(found, /the input "images": "data@a=0\.1" names one cell of stage "data"/);
});
