import { readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { nearestName } from '../diagnostics/nearest-name.ts';
import type { Problems } from '../pipeline/problems.ts';
import type { ArtifactKind } from '../stage/artifact.ts';
import type { PathUse } from './build-node.ts';

/** Reports input paths that are not on disk, or are a file where a folder is taken and the other way round. */
export async function checkPaths(uses: readonly PathUse[], problems: Problems): Promise<void> {
  for (const use of uses) {
    const subject = `stage "${use.stageName}": input "${use.inputName}"`;
    const found = await formOf(use.absolutePath);
    if (found === 'file' || found === 'folder') {
      if (use.kinds === 'any' || fits(found, use.absolutePath, use.kinds)) continue;
      problems.add({
        code: 'pipeline/wrong-kind',
        message: `${subject} must be ${wanted(use.kinds)}, and ${use.absolutePath} is a ${found}`,
        origin: use.origin,
      });
      continue;
    }
    problems.add({
      code: 'pipeline/missing-path',
      message:
        found === 'missing'
          ? `${subject}: there is no file or folder ${use.absolutePath}`
          : `${subject}: ${use.absolutePath} cannot be read (${found})`,
      origin: use.origin,
      hint: found === 'missing' ? await nearestPath(use.absolutePath) : 'check its permissions',
    });
  }
}

/** `file`, `folder`, `missing`, or the code of what went wrong. */
async function formOf(path: string): Promise<string> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) return 'folder';
    return stats.isFile() ? 'file' : 'it is neither a file nor a folder';
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : code;
  }
}

function fits(form: 'file' | 'folder', path: string, kinds: readonly ArtifactKind[]): boolean {
  if (form === 'folder') return kinds.includes('folder');
  return kinds.includes('file') || (kinds.includes('model/onnx') && path.endsWith('.onnx'));
}

function wanted(kinds: readonly ArtifactKind[]): string {
  const words = [
    ...(kinds.includes('file')
      ? ['a file']
      : kinds.includes('model/onnx')
        ? ['an .onnx file']
        : []),
    ...(kinds.includes('folder') ? ['a folder'] : []),
  ];
  return words.join(' or ');
}

async function nearestPath(path: string): Promise<string> {
  const relativeTo =
    'paths are relative to the project root; on the command line, to the current folder';
  let siblings: string[];
  try {
    siblings = await readdir(dirname(path));
  } catch {
    // The folder itself is missing or closed: there is nothing to propose.
    return relativeTo;
  }
  const nearest = nearestName(basename(path), siblings);
  return nearest === undefined ? relativeTo : `did you mean "${nearest}"?`;
}
