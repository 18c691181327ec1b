import { mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ownValue } from '../diagnostics/own-value.ts';
import type { StageNode } from '../pipeline/spec.ts';
import { fileNameOf } from '../plan/output-path.ts';
import { ARTIFACT_KINDS } from '../stage/artifact.ts';
import { systemErrorCode, withStoreErrors } from '../store/system-error.ts';

/** Where one stage runs: `artifacts/attempts/<runId>/<stageId>/`. */
export interface WorkFolder {
  readonly path: string;
  readonly scratchPath: string;
  readonly logPath: string;
  /** Output name → where the stage writes it. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** The paths of a stage's work folder; nothing is made. */
export function workFolderOf(storeFolder: string, runId: string, node: StageNode): WorkFolder {
  const path = join(storeFolder, 'attempts', runId, fileNameOf(node.id));
  const scratchPath = join(path, 'scratch');
  const outputs: Record<string, string> = {};
  for (const [name, { kind }] of Object.entries(node.outputs)) {
    outputs[name] = join(path, 'outputs', `${name}${ARTIFACT_KINDS[kind].suffix}`);
  }
  return { path, scratchPath, logPath: join(path, 'log.txt'), outputs };
}

/** Makes the folders a stage may rely on. */
export async function createWorkFolder(work: WorkFolder, node: StageNode): Promise<void> {
  await withStoreErrors(work.path, async () => {
    await mkdir(join(work.path, 'outputs'), { recursive: true });
    await mkdir(work.scratchPath, { recursive: true });
    for (const [name, { kind }] of Object.entries(node.outputs)) {
      const path = ownValue(work.outputs, name);
      if (path !== undefined && ARTIFACT_KINDS[kind].form === 'folder') await mkdir(path);
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
