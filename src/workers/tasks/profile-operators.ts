import { readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { NetworkInput } from '../../data/network-input.ts';
import { openOnnxSession } from '../../runtime/onnx-session.ts';
import { settleTask, type TaskResult } from '../task-result.ts';

export interface ProfileRequest {
  readonly modelPath: string;
  readonly input: NetworkInput;
  readonly warmupRuns: number;
  readonly runCount: number;
  /** Start of the profile's path; the file is removed again. */
  readonly profilePrefix: string;
}

/** One kernel call: its operator as onnxruntime runs it, and its time in each run. */
export interface ProfiledNode {
  readonly operator: string;
  readonly node: string;
  readonly durationsMs: readonly number[];
}
export type ProfileResponse = TaskResult<readonly ProfiledNode[]>;

/** Runs the model on one thread with onnxruntime's profiler on; one entry a node of the graph. */
export function run(request: ProfileRequest): Promise<ProfileResponse> {
  return settleTask(async () => {
    const { modelPath, input, warmupRuns, runCount, profilePrefix } = request;
    const session = await openOnnxSession(modelPath, { threadCount: 1, profilePrefix });
    const [inputName = ''] = session.inputNames;
    for (let i = 0; i < warmupRuns + runCount; i += 1) await session.run({ [inputName]: input });
    await session.release();
    const nodes = new Map<string, { operator: string; durationsMs: number[] }>();
    for (const { name, operator, ms } of kernelTimes(await takeProfile(profilePrefix))) {
      const known = nodes.get(name);
      if (known === undefined) nodes.set(name, { operator, durationsMs: [ms] });
      else known.durationsMs.push(ms);
    }
    return [...nodes].map(([node, { operator, durationsMs }]) => ({
      node,
      operator,
      durationsMs: durationsMs.slice(warmupRuns),
    }));
  });
}

/** onnxruntime puts the time of day between the prefix and `.json`. */
async function takeProfile(prefix: string): Promise<string> {
  const names = await readdir(dirname(prefix));
  const found = names.filter((name) => name.startsWith(basename(prefix)) && name.endsWith('.json'));
  let text = '[]';
  for (const name of found) {
    const path = join(dirname(prefix), name);
    text = await readFile(path, 'utf8');
    await rm(path);
  }
  return text;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  /** Microseconds. */
  readonly dur?: number;
  readonly args?: { readonly op_name?: string; readonly node_index?: string };
}

const KERNEL_SUFFIX = '_kernel_time';

function kernelTimes(profile: string): { name: string; operator: string; ms: number }[] {
  // Chrome's trace format, as onnxruntime's profiler writes it.
  const events = JSON.parse(profile) as readonly TraceEvent[];
  return events.flatMap(({ cat, name = '', dur = 0, args }) =>
    cat === 'Node' && name.endsWith(KERNEL_SUFFIX)
      ? [
          {
            // Nodes may share a name; their places in the graph differ.
            name: `${name.slice(0, -KERNEL_SUFFIX.length)} (${args?.node_index ?? ''})`,
            operator: args?.op_name ?? 'unknown',
            ms: dur / 1000,
          },
        ]
      : [],
  );
}
