import type { BigIntStats } from 'node:fs';
import { dirname } from 'node:path';
import { StageError } from '../diagnostics/errors.ts';
import { ARTIFACT_KINDS, type Artifact, type ArtifactKind } from '../stage/artifact.ts';
import { syncFolder } from '../runtime/sync-folder.ts';
import {
  digestListing,
  formatListing,
  parseListing,
  walkFolder,
  type FolderListing,
} from './folder-listing.ts';
import { hashFile } from './hash-file.ts';
import { mapLimited } from './map-limited.ts';
import { statOrNull, type ObjectStore } from './object-store.ts';

/** Several syncs under way at once share the disk's commits. */
const COMMIT_CONCURRENCY = 16;

export type StoredArtifact =
  | { readonly state: 'sound'; readonly listing: FolderListing | null }
  /** `place` is a file inside a folder artifact, '' for the artifact itself. */
  | { readonly state: 'missing' | 'damaged'; readonly place: string };

/** Artifacts on top of objects: a file is one object, a folder one object a file and one for the listing. */
export class ArtifactStore {
  readonly objects: ObjectStore;

  constructor(objects: ObjectStore) {
    this.objects = objects;
  }

  /** Whether all of an artifact is in the store and undamaged. */
  async inspect(artifact: Artifact): Promise<StoredArtifact> {
    if (ARTIFACT_KINDS[artifact.kind].form === 'file') {
      const state = await this.objects.inspect(artifact.digest, artifact.sizeBytes);
      return state === 'sound' ? { state, listing: null } : { state, place: '' };
    }
    const text = await this.objects.readText(artifact.digest);
    if (text === null) {
      const present = (await statOrNull(this.objects.pathOf(artifact.digest))) !== null;
      return { state: present ? 'damaged' : 'missing', place: '' };
    }
    const listing = parseListing(text);
    if (listing === null) return { state: 'damaged', place: '' };
    for (const file of listing.files) {
      const state = await this.objects.inspect(file.digest, file.sizeBytes);
      if (state !== 'sound') return { state, place: file.path };
    }
    return { state: 'sound', listing };
  }

  /**
   * Takes what a stage wrote into the store; the files may be moved away.
   * @throws StageError `stage/missing-output`, `stage/wrong-output-form`
   */
  async commit(kind: ArtifactKind, path: string, outputName: string): Promise<Artifact> {
    await checkOutputForm(kind, path, outputName);
    if (ARTIFACT_KINDS[kind].form === 'file') {
      const { digest, sizeBytes } = await hashFile(path);
      await this.objects.putFile(path, digest, sizeBytes);
      await syncFolder(dirname(this.objects.pathOf(digest)));
      return { kind, digest, sizeBytes };
    }
    const files = await mapLimited(await walkFolder(path), COMMIT_CONCURRENCY, async (walked) => {
      const hashed = await hashFile(walked.absolutePath);
      return { ...hashed, path: walked.path, absolutePath: walked.absolutePath };
    });
    // Byte-identical files, and links to one file, are one object: stored once, then found.
    const unique = new Map(files.map((file) => [file.digest, file]));
    await mapLimited([...unique.values()], COMMIT_CONCURRENCY, (file) =>
      this.objects.putFile(file.absolutePath, file.digest, file.sizeBytes),
    );
    const folders = new Set(files.map((file) => dirname(this.objects.pathOf(file.digest))));
    await mapLimited([...folders], COMMIT_CONCURRENCY, syncFolder);
    const listing: FolderListing = {
      format: 1,
      files: files.map(({ path: name, digest, sizeBytes }) => ({ path: name, digest, sizeBytes })),
    };
    await this.objects.putText(formatListing(listing));
    const { digest, sizeBytes } = digestListing(listing);
    return { kind, digest, sizeBytes };
  }
}

/** @throws StageError when a stage wrote nothing, or something of another form, where its output should be. */
export async function checkOutputForm(
  kind: ArtifactKind,
  path: string,
  outputName: string,
): Promise<void> {
  const { form } = ARTIFACT_KINDS[kind];
  const stats = await statOrNull(path);
  if (stats === null) {
    throw new StageError({
      code: 'stage/missing-output',
      message: `the stage ended without writing its output "${outputName}" (a ${form} of kind ${kind})`,
      hint: `it was expected at ${path}`,
    });
  }
  if (form === 'file' ? !stats.isFile() : !stats.isDirectory()) {
    throw new StageError({
      code: 'stage/wrong-output-form',
      message: `the stage's output "${outputName}" must be a ${form} (kind ${kind}), but is ${nameForm(stats)}`,
      hint: `see ${path}${stats.isDirectory() ? FOLDER_HINT : ''}`,
    });
  }
}

/** Where the pipeline declares the output, its form is in how its path is written. */
const FOLDER_HINT =
  '; an output that the pipeline declares is a folder with a slash at the end of its path (`path: files/`) or with `kind: folder`';

function nameForm(stats: BigIntStats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link';
  if (stats.isDirectory()) return 'a folder';
  return stats.isFile() ? 'a file' : 'something else';
}
