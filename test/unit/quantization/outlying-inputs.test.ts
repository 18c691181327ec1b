import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantizeModel } from '../../../src/quantization/library.ts';
import { describeOutlyingInputs } from '../../../src/quantization/outlying-inputs.ts';
import { createRandom } from '../../../src/numeric/random.ts';
import { TINY_SIZE, tinyConvnet } from '../../support/tiny-convnet.ts';

test('inputs beyond twenty times the usual are told of by their place', () => {
  const usual = Array.from({ length: 9 }, (_, i) => 0.9 + i / 40); // the median of these is 1
  assert.equal(
    describeOutlyingInputs([...usual, 255], 'images'),
    'input 9 of "images" (the first is 0) reaches 252 times the largest value of the usual input: check its normalization',
  );
  assert.match(
    describeOutlyingInputs([99, ...usual, 99.5], 'compare') ?? '',
    /^inputs 0, 10 of "compare" .* reach up to 97\.1 times .* check their normalization$/,
  );
  assert.equal(describeOutlyingInputs([...usual, 20], 'images'), null);
});

test('nothing is told where no input is usual', () => {
  for (const largest of [[], [255], [1, 255], [0, 0, 0, 5], [0, 0]]) {
    assert.equal(describeOutlyingInputs(largest, 'images'), null);
  }
});

test('a division by 255 that was forgotten for one input is in the report', async () => {
  const random = createRandom(3, 'inputs');
  const images = Array.from({ length: 8 }, (_, i) =>
    Float32Array.from({ length: 3 * TINY_SIZE ** 2 }, () => random.next() * (i === 5 ? 255 : 1)),
  );
  const notesOf = async (options: { images: Float32Array[]; compare?: Float32Array[] }) =>
    (await quantizeModel(tinyConvnet(), { ...options, workerCount: 1 })).report.notes;
  const [note = ''] = await notesOf({ images });
  assert.match(note, /^input 5 of "images" .* reaches 25[0-9] times .*: check its normalization$/);
  const usual = images.filter((_, i) => i !== 5);
  const [compared = ''] = await notesOf({ images: usual, compare: images });
  assert.match(compared, /^input 5 of "compare"/);
  assert.ok((await notesOf({ images: usual })).every((text) => !text.startsWith('input')));
});
