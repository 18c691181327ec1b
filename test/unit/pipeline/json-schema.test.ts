import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { pipelineJsonSchema } from '../../../src/pipeline/json-schema.ts';
import { SAMPLE_KINDS } from '../../support/sample-kinds.ts';

const validate = new Ajv({ strict: false, allErrors: true }).compile(
  pipelineJsonSchema(SAMPLE_KINDS),
);

function errorsOf(text: string): string[] {
  validate(parse(text));
  return (validate.errors ?? []).map(
    ({ instancePath, message }) => `${instancePath} ${message ?? ''}`,
  );
}

const VALID = `
name: good
vars: { epochs: 3, list: [1, 2], folder: null }
profiles:
  smoke: { vars: { epochs: 1 }, stages: { train: { parameters: { epochs: 1 } } } }
stages:
  data: { kind: source, inputs: { folder: { path: '\${vars.folder}' } } }
  train:
    kind: fit
    matrix: { n: '\${vars.list}', include: [{ n: 3 }] }
    inputs: { images: data, initial: null }
    parameters:
      architecture: \${matrix.architecture}
      epochs: \${vars.epochs}
      schedule: { milestones: ['\${vars.epochs}', 2] }
    resources: { cpus: all }
  other: { kind: fit, inputs: { images: data }, parameters: { architecture: large, schedule: '\${vars.list}' } }
  tool: { kind: program, outputs: { o: { path: x, kind: file } }, parameters: { program: x } }
  mine: { kind: ./my-stage.js, parameters: { anything: { at: [all] } } }
tables:
  main: { rows: [{ labels: { model: m, precision: fp32, extra: 1 }, from: [train.metrics] }], notes: [n] }
reference: { source: s, rows: [{ model: m, precision: fp32, top1Percent: 3 }] }
`;

test('the JSON Schema accepts what the loader accepts', () => {
  assert.deepEqual(errorsOf(VALID), []);
});

test('the JSON Schema refuses what is wrong, kind by kind', () => {
  const cases: [string, string, RegExp][] = [
    ['epochs: ${vars.epochs}', 'epochs: many', /\/stages\/train\/parameters\/epochs/],
    ['epochs: ${vars.epochs}', 'epocs: 3', /\/stages\/train\/parameters must NOT have additional/],
    [
      'architecture: large, ',
      '',
      /\/stages\/other\/parameters must have required property 'architecture'/,
    ],
    ["'${vars.epochs}', 2", 'two', /milestones/],
    [
      'images: data, initial',
      'initial',
      /\/stages\/train\/inputs must have required property 'images'/,
    ],
    ['initial: null', 'start: null', /\/stages\/train\/inputs must NOT have additional/],
    ['kind: source', 'kind: sauce', /\/stages\/data\/kind/],
    ['cpus: all', 'cpus: some', /\/stages\/train\/resources\/cpus/],
    ['name: good', 'name: Not Good', /\/name/],
    ['vars: { epochs: 3', 'vras: { epochs: 3', / must NOT have additional/],
    ['precision: fp32, extra', 'extra', /labels must have required property 'precision'/],
    ['top1Percent: 3', 'top1Percent: high', /top1Percent/],
    ['kind: source, ', 'kind: source, outputs: { x: { path: y } }, ', /\/stages\/data\/outputs/],
  ];
  for (const [before, after, expected] of cases) {
    assert.ok(VALID.includes(before), before);
    assert.match(errorsOf(VALID.replace(before, after)).join('\n'), expected);
  }
});

test('descriptions and defaults are where editors look for them', () => {
  const schema = JSON.stringify(pipelineJsonSchema(SAMPLE_KINDS));
  assert.ok(schema.includes('"description":"Passes over the images.","default":5,"anyOf"'));
  assert.ok(schema.includes('"http://json-schema.org/draft-07/schema#"'));
  assert.ok(schema.includes('"const":"fit","description":"Trains a model."'));
});
