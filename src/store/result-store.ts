import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../stage/artifact.ts';
import { writeFileAtomic } from './atomic-write.ts';
import { stageResultSchema, type StageResult } from './stage-result.ts';
import { isAbsent } from './system-error.ts';

/** Results of finished stages by key: `results/ab/<key>.json`. */
export class ResultStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(key: Digest): string {
    return join(this.#folder, key.slice(0, 2), `${key}.json`);
  }

  async read(key: Digest): Promise<StageResult | 'absent' | 'damaged'> {
    let text: string;
    try {
      text = await readFile(this.pathOf(key), 'utf8');
    } catch (error) {
      if (isAbsent(error)) return 'absent';
      throw error;
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return 'damaged'; // a miss, reported as its reason
    }
    const parsed = stageResultSchema.safeParse(json);
    return parsed.success && parsed.data.key === key ? parsed.data : 'damaged';
  }

  /** Written last, after all its objects: a result that is there is complete. */
  async write(result: StageResult): Promise<void> {
    await writeFileAtomic(this.pathOf(result.key), `${JSON.stringify(result, null, 2)}\n`);
  }
}
