import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parameterReference } from '../../../src/pipeline/parameter-reference.ts';
import { SAMPLE_KINDS } from '../../support/sample-kinds.ts';

test('the reference of a kind has what it reads, writes and takes', () => {
  const fit = SAMPLE_KINDS.get('fit');
  const score = SAMPLE_KINDS.get('score');
  assert.ok(fit && score);
  const reference = parameterReference(
    new Map([
      ['fit', fit],
      ['score', score],
    ]),
  );
  assert.equal(
    reference,
    `### \`fit\`

Trains a model.

- Inputs: \`images\` (dataset): What to learn. \`initial\` (model/onnx or file, optional): Where to start.
- Outputs: \`model\` (model/onnx): The network. \`history\` (history): One row an epoch.

| parameter | values | default | what |
| --- | --- | --- | --- |
| \`architecture\` | \`small\`, \`large\` | required | Which network. |
| \`epochs\` | whole number ≥ 1 | \`5\` | Passes over the images. |
| \`learningRate\` | number > 0 | \`0.01\` | Step of the optimizer. |
| \`schedule\` | mapping | \`{"milestones":[],"factor":0.1}\` | Learning rate schedule. |
| \`schedule.milestones\` | list of whole number | \`[]\` | Epochs after which it drops. |
| \`schedule.factor\` | number | \`0.1\` | By what it drops. |
| \`note\` | text | — | A remark. |

### \`score\`

Scores models.

- Inputs: \`model\` (model/onnx): The model. \`baseline\` (model/onnx, optional): Compared with. \`images\` (dataset, optional): What it is scored on.
- Outputs: \`metrics\` (metrics): Figures. \`predictions\` (predictions): One row an image.
- Note: runs alone.

| parameter | values | default | what |
| --- | --- | --- | --- |
| \`topK\` | whole number | \`1\` | Classes that may hit. |
`,
  );
});
