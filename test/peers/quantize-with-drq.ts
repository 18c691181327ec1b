/**
 * Calibrates and quantizes one model with the two stages, in a process of its own, so that time and
 * memory are those of nothing else. The last line of the output is JSON.
 *
 * node quantize-with-drq.js VARIANT MODEL.onnx SHARDS_FOLDER COUNT OUTPUT.onnx
 */
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { z } from 'zod';
import { UsageError } from '../../src/diagnostics/errors.ts';
import type { ArtifactKind, Digest } from '../../src/stage/artifact.ts';
import type { AnyStageDefinition } from '../../src/stage/definition.ts';
import { calibrate } from '../../stages/calibrate/stage.ts';
import { quantize } from '../../stages/quantize/stage.ts';
import { runProgramMain, say } from '../support/benchmark-program.ts';
import { DRQ_VARIANTS, type DrqVariant } from './tools.ts';

const CPU_COUNT = 2;

async function main(): Promise<void> {
  const [variant = '', model = '', images = '', count = '', output = ''] = process.argv.slice(2);
  if (!Object.hasOwn(DRQ_VARIANTS, variant)) {
    throw new UsageError({
      code: 'usage/invalid-argument',
      message: `unknown variant "${variant}"; known: ${Object.keys(DRQ_VARIANTS).join(', ')}`,
    });
  }
  const parameters = DRQ_VARIANTS[variant as DrqVariant]; // checked above
  const folder = await mkdtemp(join(tmpdir(), 'drq-peer-'));
  try {
    const shared = { images: input('image-shards', images), model: input('model/onnx', model) };
    const table = join(folder, 'table.json');
    const at = (name: string): string => join(folder, name);
    await runStage(calibrate, {
      folder,
      parameters: { count: Number(count), ...parameters.calibrate },
      inputs: shared,
      outputs: { table, report: at('calibrate.json') },
    });
    await runStage(quantize, {
      folder,
      parameters: parameters.quantize,
      inputs: { ...shared, table: input('calibration-table', table) },
      outputs: { model: at('model.onnx'), report: at('quantize.json'), summary: at('report.md') },
    });
    await rename(at('model.onnx'), output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  process.stdout.write(`${JSON.stringify({ peakMemoryBytes: await peakMemoryBytes() })}\n`);
}

function input(
  kind: ArtifactKind,
  path: string,
): { kind: ArtifactKind; path: string; digest: Digest } {
  return { kind, path, digest: '0'.repeat(64) as Digest }; // stages do not look at digests
}

interface StageCall {
  readonly folder: string;
  readonly parameters: object;
  readonly inputs: Readonly<Record<string, ReturnType<typeof input>>>;
  readonly outputs: Readonly<Record<string, string>>;
}

async function runStage(stage: AnyStageDefinition, call: StageCall): Promise<void> {
  const scratchPath = join(call.folder, `scratch-${stage.kind}`);
  await mkdir(scratchPath);
  await stage.run({
    progress: () => undefined,
    log: () => undefined,
    warn: say,
    notice: say,
    signal: new AbortController().signal,
    stageId: stage.kind,
    parameters: (stage.parameters as z.ZodObject).parse(call.parameters), // every stage's are an object
    inputs: call.inputs,
    outputs: call.outputs,
    scratchPath,
    checkpointPath: join(scratchPath, 'checkpoints'),
    resources: { cpuCount: CPU_COUNT },
    projectRoot: call.folder,
  });
}

/** The most this process ever held; from its own address space, as for the Python tools. */
async function peakMemoryBytes(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => ''); // '': not Linux
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kilobytes === undefined ? process.resourceUsage().maxRSS * 1024 : Number(kilobytes) * 1024;
}

await runProgramMain(main);
