import { join } from 'node:path';
import { ArtifactStore } from './artifact-store.ts';
import { ObjectStore } from './object-store.ts';
import { ResultStore } from './result-store.ts';
import { StatCache } from './stat-cache.ts';
import { WorkingCopies } from './working-copies.ts';

/** Everything drq keeps on this machine for one project, below `artifacts/`. */
export interface Store {
  readonly folder: string;
  readonly artifacts: ArtifactStore;
  readonly results: ResultStore;
  readonly copies: WorkingCopies;
  readonly cache: StatCache;
  /** Where a stage of this key keeps what a later run of it goes on from; by key, not by run. */
  readonly checkpointPath: (key: string) => string;
}

/** Opens the store of a project; nothing is created until something is stored. */
export async function openStore(projectRoot: string): Promise<Store> {
  const folder = join(projectRoot, 'artifacts');
  const cache = await StatCache.open(join(folder, 'stat-cache.json'));
  const artifacts = new ArtifactStore(new ObjectStore(join(folder, 'objects'), cache));
  return {
    folder,
    artifacts,
    results: new ResultStore(join(folder, 'results')),
    copies: new WorkingCopies(artifacts, cache),
    cache,
    checkpointPath: (key) => join(folder, 'checkpoints', key),
  };
}
