import { existsSync, statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import pc from 'picocolors';
import {
  cpuInt8Support,
  machineFingerprint,
  type CpuInt8Support,
} from '../../benchmark/machine.ts';
import { packageRoot } from '../../runtime/package-root.ts';
import { tensorflowStatus } from '../../runtime/tensorflow-location.ts';

export interface Component {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'missing';
  readonly detail: string;
  readonly remedy?: string;
  /** Nothing runs without it; training alone wants TensorFlow. */
  readonly required?: true;
}

/** ResNet-50 at batch 32 was measured at 4.9 GB, a browser and an editor beside it. */
const ENOUGH_MEMORY_BYTES = 8e9;
/** A seven-grade set of 1,400 photographs at 224 pixels with four copies is 0.9 GB, models aside. */
const ENOUGH_DISK_BYTES = 5e9;

/** Prints one line a component; returns 1 when something is missing without which nothing runs. */
export async function runDoctor(
  print: (line: string) => void = (line) => console.log(line),
): Promise<number> {
  const components = [
    nodeComponent(process.versions.node),
    tensorflowComponent(),
    await onnxruntimeComponent(),
    await sharpComponent(),
    await processorComponent(),
    coresComponent(),
    memoryComponent(),
    diskComponent(process.cwd()),
  ];
  for (const line of renderComponents(components)) print(line);
  return components.some(({ state, required }) => required === true && state === 'missing') ? 1 : 0;
}

/** One aligned line a component, and its remedy below it where something is to be done. */
export function renderComponents(components: readonly Component[]): string[] {
  const width = Math.max(...components.map(({ name }) => name.length));
  return components.flatMap(({ name, state, detail, remedy }) => [
    `${paint(state)}  ${name.padEnd(width)}  ${detail}`,
    ...(remedy === undefined ? [] : [`         ${' '.repeat(width)}  → ${remedy}`]),
  ]);
}

function paint(state: Component['state']): string {
  const text = state.padEnd('missing'.length);
  if (state === 'ok') return pc.green(text);
  return state === 'warning' ? pc.yellow(text) : pc.red(text);
}

export function nodeComponent(version: string): Component {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  return {
    name: 'Node',
    required: true,
    state: fits ? 'ok' : 'missing',
    detail: `${version} (20.19 or newer is needed)`,
    ...(fits ? {} : { remedy: 'install a current Node (20, 22, 24 or newer)' }),
  };
}

function tensorflowComponent(): Component {
  const name = 'TensorFlow binding';
  const status = tensorflowStatus();
  return status.state === 'ready'
    ? { name, state: 'ok', detail: `TensorFlow ${status.tensorflowVersion} (for training)` }
    : {
        name,
        state: 'missing',
        detail: `${status.reason}; everything but \`train\` works without it`,
        remedy: status.remedy,
      };
}

async function onnxruntimeComponent(): Promise<Component> {
  const component = { name: 'onnxruntime', required: true } as const;
  try {
    await import('../../runtime/onnx-session.ts');
    const require = createRequire(join(packageRoot(), 'package.json'));
    // npm requires the field in every package it serves.
    const { version } = require('onnxruntime-node/package.json') as { version: string };
    return { ...component, state: 'ok', detail: version };
  } catch (error) {
    return { ...component, state: 'missing', ...cannotLoad(error) };
  }
}

async function sharpComponent(): Promise<Component> {
  const component = { name: 'sharp', required: true } as const;
  try {
    const { default: sharp } = await import('sharp');
    const { sharp: version, vips } = sharp.versions;
    return { ...component, state: 'ok', detail: `${version}, libvips ${vips}` };
  } catch (error) {
    return { ...component, state: 'missing', ...cannotLoad(error) };
  }
}

function cannotLoad(error: unknown): { detail: string; remedy: string } {
  const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return {
    detail: `does not load: ${reason}`,
    remedy: existsSync(join(packageRoot(), 'tsconfig.json'))
      ? 'run `npm ci --ignore-scripts` in the checkout of drq'
      : 'install drq again',
  };
}

/** Flags by which onnxruntime chooses its int8 kernels. */
const INT8_FLAGS = new Set(['avx2', 'avx_vnni', 'avx512_vnni', 'amx_int8', 'asimddp', 'i8mm']);

async function processorComponent(): Promise<Component> {
  const { cpuModel, cpuFlags } = await machineFingerprint();
  return describeProcessor(cpuModel, cpuFlags, cpuInt8Support());
}

export function describeProcessor(
  model: string,
  flags: readonly string[],
  support: CpuInt8Support,
): Component {
  const name = 'processor';
  const int8 = flags.filter((flag) => INT8_FLAGS.has(flag)).join(', ');
  switch (support) {
    case 'vnni':
    case 'neon':
      return { name, state: 'ok', detail: `${model}, int8 instructions: ${int8}` };
    case 'unknown':
      return { name, state: 'ok', detail: `${model}, int8 instructions unknown here` };
    case 'avx2':
    case 'none':
      return {
        name,
        state: 'warning',
        detail: `${model}, no int8 dot product${int8 === '' ? '' : ` (${int8} only)`}`,
        remedy: 'int8 models run, but expect less speed-up than on a processor with VNNI',
      };
  }
}

function coresComponent(): Component {
  const count = availableParallelism();
  return { name: 'cores', state: 'ok', detail: String(count) };
}

function memoryComponent(): Component {
  const bytes = totalmem();
  const detail = `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= ENOUGH_MEMORY_BYTES
    ? { name: 'memory', state: 'ok', detail }
    : { name: 'memory', state: 'warning', detail, remedy: 'train with a smaller batchSize' };
}

/** Free disk where a run started here keeps its artifacts. */
export function diskComponent(cwd: string): Component {
  const folder = join(projectRootAbove(cwd), 'artifacts');
  const { bavail, bsize } = statfsSync(existsSync(folder) ? folder : dirname(folder));
  const bytes = bavail * bsize;
  const detail = `${(bytes / 1e9).toFixed(1)} GB free for ${folder}`;
  return bytes >= ENOUGH_DISK_BYTES
    ? { name: 'disk', state: 'ok', detail }
    : { name: 'disk', state: 'warning', detail, remedy: 'free some space, or choose --root' };
}

/** The same rule as for pipelines: the nearest folder with a package.json or .git. */
function projectRootAbove(start: string): string {
  for (let folder = start; ; folder = dirname(folder)) {
    if (['package.json', '.git'].some((name) => existsSync(join(folder, name)))) return folder;
    if (folder === dirname(folder)) return start;
  }
}
