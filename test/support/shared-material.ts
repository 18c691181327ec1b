import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { packageRoot } from '../../src/runtime/package-root.ts';

/**
 * A file or folder of the material that lies beside some checkouts (`DRQ_SHARED`, else `../shared`);
 * null, with the test marked as skipped, where it is not there.
 */
export function sharedMaterial(test: TestContext, ...parts: string[]): string | null {
  const root = process.env['DRQ_SHARED'] ?? join(packageRoot(), '..', 'shared');
  const path = join(root, ...parts);
  if (existsSync(path)) return path;
  test.skip(`needs ${parts.join('/')} of the shared material; set DRQ_SHARED to its folder`);
  return null;
}
