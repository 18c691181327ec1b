import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { packageRoot } from '../../src/runtime/package-root.ts';
import type { Environments } from './environments.ts';
import type { PeerModel } from './models.ts';
import type { Photographs } from './photographs.ts';
import { isDrq, PEERS, type Tool } from './tools.ts';

/** What one tool made of one model, and at what cost; or why it could not. */
export interface QuantizedCell {
  readonly outputPath: string;
  readonly error: string | null;
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  readonly sizeBytes: number;
  readonly versions: Readonly<Record<string, string>>;
}

export interface QuantizeCellOptions {
  readonly model: PeerModel;
  readonly tool: Tool;
  readonly photographs: Photographs;
  readonly workFolder: string;
  readonly environments: Environments;
  /** Images onnxruntime's histogram calibrators take at once; 0: all, as it does by default. */
  readonly strideImages: number;
  /** From 0; later rounds only measure the cost again, in turns with the other tools. */
  readonly round: number;
  /** Repeats what was measured before. */
  readonly again: boolean;
}

/** Compiled files lie in `<build>/test/peers`. */
const BUILD_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const QUANTIZERS = join(packageRoot(), 'test', 'peers', 'quantizers.py');

/**
 * Quantizes in a process of its own, or gives what an earlier run found with the same model, images
 * and, for drq, the same compiled code. A tool that fails is a result too.
 */
export async function quantizeCell(options: QuantizeCellOptions): Promise<QuantizedCell> {
  const { model, tool, photographs, workFolder } = options;
  const fingerprint = [model.digest, photographs.key, tool, codeOf(tool), options.strideImages];
  const key = createHash('sha256').update(JSON.stringify(fingerprint)).digest('hex').slice(0, 16);
  const folder = join(workFolder, 'cells', `${model.name}-${photographs.calibrationCount}`, tool);
  const recordPath = join(folder, `${key}-round${options.round}.json`);
  const outputPath = join(folder, `${key}.onnx`);
  if (!options.again) {
    const recorded = await readFile(recordPath, 'utf8').catch(() => null); // null: not measured yet
    if (recorded !== null) {
      const cell = JSON.parse(recorded) as QuantizedCell; // written below
      if (cell.error === null) return cell; // what failed may work by now
    }
  }
  await mkdir(folder, { recursive: true });
  const partialPath = join(folder, `${key}.partial.onnx`);
  const command = await commandOf(options, partialPath);
  const startedAt = performance.now();
  const { exitCode, stdout, stderr } = await execa(command.program, command.parts, {
    reject: false,
    env: { PYTHONWARNINGS: 'ignore' },
    cwd: folder, // Neural Compressor leaves a workspace where it runs
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const answer = exitCode === 0 ? lastJson(stdout) : null;
  let cell: QuantizedCell;
  if (answer === null) {
    const said = (stderr.trim() || stdout.trim()).split('\n').at(-1) ?? '';
    const error = `exit code ${String(exitCode)}: ${said}`;
    cell = { outputPath, error, seconds, peakMemoryBytes: 0, sizeBytes: 0, versions: {} };
  } else {
    await rename(partialPath, outputPath);
    const sizeBytes = (await stat(outputPath)).size;
    cell = { outputPath, error: null, seconds, versions: {}, ...answer, sizeBytes };
  }
  await rm(partialPath, { force: true });
  await writeFile(recordPath, JSON.stringify(cell));
  return cell;
}

async function commandOf(
  { model, tool, photographs, environments, strideImages }: QuantizeCellOptions,
  outputPath: string,
): Promise<{ program: string; parts: string[] }> {
  const count = String(photographs.calibrationCount);
  if (isDrq(tool)) {
    const script = join(BUILD_FOLDER, 'test', 'peers', 'quantize-with-drq.js');
    return {
      program: process.execPath,
      parts: [script, tool, model.path, photographs.folder, count, outputPath],
    };
  }
  const { inputsPath } = photographs;
  return {
    program: await environments.pythonOf(PEERS[tool]),
    parts: [
      ...[QUANTIZERS, tool, model.path, inputsPath, count],
      ...[String(model.sizePx), outputPath, String(strideImages)],
    ],
  };
}

interface ChildAnswer {
  readonly peakMemoryBytes: number;
  readonly versions?: Readonly<Record<string, string>>;
}

/** What our own child programs print last; null where something else stands there. */
function lastJson(stdout: string): ChildAnswer | null {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return line.startsWith('{') ? (JSON.parse(line) as ChildAnswer) : null;
}

let drqCode: string | undefined;

/** A digest of the code that a tool's result depends on, as far as it is ours. */
function codeOf(tool: Tool): string {
  if (!isDrq(tool)) return 'peer';
  drqCode ??= digestOf(['src', 'stages/calibrate', 'stages/quantize', 'test/peers/tools.js']);
  return drqCode;
}

/** Compiled code only decides when it is of the folders that calibrate and quantize. */
const CODE = /^src\/(data|numeric|onnx|quantization|runtime|workers)\/|^stages\/|^test\//;

function digestOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const files = part.endsWith('.js')
      ? [part]
      : readdirSync(join(BUILD_FOLDER, part), { recursive: true, encoding: 'utf8' }).map(
          (file) => `${part}/${file}`,
        );
    for (const file of files.filter((each) => each.endsWith('.js') && CODE.test(each)).sort()) {
      hash.update(file).update(readFileSync(join(BUILD_FOLDER, file)));
    }
  }
  return hash.digest('hex');
}
