import { mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { StageError } from '../diagnostics/errors.ts';
import type { StageNode } from '../pipeline/spec.ts';
import { fileNameOf } from '../plan/output-path.ts';
import { ARTIFACT_KINDS } from '../stage/artifact.ts';
import { systemErrorCode, withStoreErrors } from '../store/system-error.ts';

/** Where one stage runs: `artifacts/work/<runId>/<stageId>/`. */
export interface WorkFolder {
  readonly path: string;
  readonly scratchPath: string;
  readonly logPath: string;
  /** Output name → where the stage writes it. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** The paths of a stage's work folder; nothing is made. @throws StageError for a declared output path that leaves it */
export function workFolderOf(storeFolder: string, runId: string, node: StageNode): WorkFolder {
  const path = join(storeFolder, 'work', runId, fileNameOf(node.id));
  const scratchPath = join(path, 'scratch');
  const outputs: Record<string, string> = {};
  for (const [name, output] of Object.entries(node.outputs)) {
    outputs[name] =
      output.path === undefined
        ? join(path, 'outputs', `${name}${ARTIFACT_KINDS[output.kind].suffix}`)
        : // A program writes where the pipeline says, relative to its working folder.
          resolveInside(scratchPath, output.path, name);
  }
  checkApart(outputs);
  return { path, scratchPath, logPath: join(path, 'log.txt'), outputs };
}

/** Makes the folders a stage may rely on. */
export async function createWorkFolder(work: WorkFolder, node: StageNode): Promise<void> {
  await withStoreErrors(work.path, async () => {
    await mkdir(join(work.path, 'outputs'), { recursive: true });
    await mkdir(work.scratchPath, { recursive: true });
    for (const [name, output] of Object.entries(node.outputs)) {
      const path = work.outputs[name] ?? work.scratchPath;
      const isFolder = ARTIFACT_KINDS[output.kind].form === 'folder';
      await mkdir(isFolder ? path : dirname(path), { recursive: true });
    }
  });
}

export async function removeWorkFolder(work: WorkFolder): Promise<void> {
  await rm(work.path, { recursive: true, force: true });
  try {
    await rmdir(dirname(work.path));
  } catch (error) {
    // Other stages of the run still have theirs.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemErrorCode(error) ?? '')) throw error;
  }
}

function resolveInside(folder: string, path: string, outputName: string): string {
  const resolved = resolve(folder, path);
  if (resolved.startsWith(folder + sep)) return resolved;
  throw new StageError({
    code: 'stage/output-outside',
    message: `output "${outputName}" has the path ${path}, which is not inside the program's working folder`,
    hint: 'give a relative path below the working folder, such as out/model.onnx',
  });
}

/** An output inside another would be moved away from under it when stored. */
function checkApart(outputs: Readonly<Record<string, string>>): void {
  const entries = Object.entries(outputs);
  for (const [name, path] of entries) {
    const outer = entries.find(
      ([other, otherPath]) => other !== name && (path + sep).startsWith(otherPath + sep),
    );
    if (outer !== undefined) {
      throw new StageError({
        code: 'stage/nested-outputs',
        message: `output "${name}" lies inside output "${outer[0]}"`,
        hint: 'give each output a place of its own',
      });
    }
  }
}
