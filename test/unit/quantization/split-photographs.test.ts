import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPhotographs } from '../../../src/quantization/split-photographs.ts';
import { writeFiles } from '../../support/picture-fixtures.ts';
import { temporaryFolder } from '../../support/stage-context.ts';

test('a folder of photographs that are not read names their formats', async (t) => {
  const root = await temporaryFolder(t);
  await writeFiles({ [join(root, 'a/0.ppm')]: '', [join(root, 'notes.txt')]: '' });
  await assert.rejects(findPhotographs(root), {
    code: 'quantize/no-photographs',
    message: `${root} holds no photographs of a format that is read; it holds 1 .ppm`,
    hint: /^convert them to PNG or JPEG, or give a folder/,
  });
});
