import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { generatedFiles } from './generated-files.ts';

// `npm run generate`: after a change of a stage's parameters.
for (const [path, content] of await generatedFiles()) {
  await writeFile(join(packageRoot(), path), content);
}
