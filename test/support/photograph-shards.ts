import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { augment } from '../../stages/augment/stage.ts';
import type { Digest } from '../../src/stage/artifact.ts';

/** Seconds our stage takes from the dataset's files to finished shards on disk. */
export async function augmentDataset(
  dataset: string,
  target: string,
  { sizePx, cpuCount }: { readonly sizePx: number; readonly cpuCount: number },
): Promise<number> {
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  const start = performance.now();
  await augment.run({
    progress: () => undefined,
    log: () => undefined,
    warn: () => undefined,
    notice: () => undefined,
    signal: new AbortController().signal,
    stageId: 'augment',
    parameters: augment.parameters.parse({ sizePx }),
    inputs: { dataset: { kind: 'dataset', path: dataset, digest: '' as Digest } }, // not read
    outputs: { images: target, report: `${target}.json` },
    scratchPath: target,
    checkpointPath: join(target, 'checkpoints'),
    resources: { cpuCount },
    projectRoot: dataset,
  });
  return (performance.now() - start) / 1000;
}

/** A dataset artifact of links to the files; a file may occur several times. */
export async function linkDataset(folder: string, paths: readonly string[]): Promise<string> {
  await mkdir(join(folder, 'images'), { recursive: true });
  const unique = [...new Set(paths)];
  const nameOf = new Map(unique.map((path, i) => [path, `images/${i}${extname(path)}`]));
  for (const [path, name] of nameOf) await symlink(path, join(folder, name));
  const images = paths.map((path, i) => ({
    id: String(i).padStart(8, '0'),
    file: nameOf.get(path),
    sha256: String(i).padStart(64, '0'),
    label: 0,
    split: 'train',
  }));
  await writeFile(
    join(folder, 'dataset.json'),
    JSON.stringify({ format: 1, classes: ['any'], images }),
  );
  return folder;
}
