/**
 * drq's quantizer beside onnxruntime's, NNCF's and Neural Compressor's on the same models and photographs:
 * fidelity, latency of the files, time and memory, with what issue "the quantizer" demands.
 *
 * npm run test:peers -- --shared FOLDER [--models a,b] [--model NAME=FILE] [--peers a,b] [--rounds 1]
 *   [--latency-rounds 2] [--many-images 1024] [--stride 0] [--again TOOL,…] [--work FOLDER]
 *   [--python NAME=INTERPRETER]
 * npm run test:peers -- --coverage FOLDER [--coverage FOLDER …]
 * npm run test:peers -- --training [--work FOLDER] [--python export=INTERPRETER]
 *
 * Python environments, exported models and finished measurements are kept in the work folder (below the
 * temporary folder), so a run that was stopped goes on where it was; --again measures anew. --model adds
 * networks trained on the five grades by drq. --many-images quantizes ResNet-50 with that many images.
 * --coverage takes every .onnx file of a folder (as export_models.py writes, or the Python package onnx
 * carries in backend/test/data/light) through the quantizer and fails on operators left in float.
 * --training trains small networks for 50 steps here and in PyTorch, from the same weights on the same
 * batches, and fails where the losses differ, or where TensorBoard reads our event files otherwise. It takes
 * weights of every network to torchvision's and back, and fails where logits or weights differ.
 * --stride n lets onnxruntime's histograms take n images at once where memory is short.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { watchLoad } from '../../src/benchmark/machine.ts';
import { UsageError } from '../../src/diagnostics/errors.ts';
import { renderBoxTable } from '../../src/tables/terminal.ts';
import {
  positiveInteger,
  renderRows,
  requiredFolder,
  runProgramMain,
  say,
  userPath,
} from '../support/benchmark-program.ts';
import { coverFolders } from './coverage.ts';
import { createEnvironments, type Environments } from './environments.ts';
import { collectModels, MODEL_NAMES, type PeerModel } from './models.ts';
import { preparePhotographs, type Photographs } from './photographs.ts';
import { quantizeCell, type QuantizedCell } from './quantize-cell.ts';
import {
  describeRatio,
  judge,
  type Judgement,
  type ModelResult,
  type ToolResult,
} from './requirements.ts';
import { latencyRatio, logitsOf, scoreCell, top1Percent, type LatencyRatio } from './score-cell.ts';
import { checkTensorboardEvents } from './tensorboard-events.ts';
import { isDrq, TOOLS, type Tool } from './tools.ts';
import { compareTrainingCurves, LARGEST_LOSS_DIFFERENCE } from './training-curve.ts';
import { exchangeWeights, LARGEST_LOGIT_DIFFERENCE } from './weights-exchange.ts';

const CALIBRATION_COUNT = 128;
const BASELINE: Tool = 'onnxruntime-min-max';
/** Whose time is compared; measured in turns in every round. */
const COST_TOOLS: ReadonlySet<Tool> = new Set([BASELINE, 'drq-min-max', 'drq-default', 'nncf']);
const MEMORY_MODEL = 'resnet50';

interface Settings {
  readonly shared: string;
  readonly workFolder: string;
  readonly environments: Environments;
  readonly tools: readonly Tool[];
  readonly roundCount: number;
  readonly latencyRounds: number;
  readonly manyImages: number;
  readonly strideImages: number;
  readonly again: ReadonlySet<string>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      shared: { type: 'string' },
      models: { type: 'string', default: MODEL_NAMES.join(',') },
      model: { type: 'string', multiple: true, default: [] },
      peers: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      'latency-rounds': { type: 'string', default: '2' },
      'many-images': { type: 'string', default: '0' },
      stride: { type: 'string', default: '0' },
      again: { type: 'string', default: '' },
      work: { type: 'string', default: join(tmpdir(), 'drq-peers') },
      python: { type: 'string', multiple: true, default: [] },
      coverage: { type: 'string', multiple: true, default: [] },
      training: { type: 'boolean', default: false },
    },
  });
  if (values.coverage.length > 0) {
    const faults = await coverFolders(values.coverage.map(userPath), say);
    for (const fault of faults) say(`fault: ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
    return;
  }
  const workFolder = userPath(values.work);
  const environments = createEnvironments(join(workFolder, 'environments'), values.python);
  if (values.training) {
    await compareTraining(environments, join(workFolder, 'training'));
    await checkEvents(environments, join(workFolder, 'training', 'events'));
    await checkExchange(environments, join(workFolder, 'training', 'exchange'));
    return;
  }
  const settings: Settings = {
    shared: requiredFolder('--shared', values.shared),
    workFolder,
    environments,
    tools: chooseTools(values.peers),
    roundCount: positiveInteger('--rounds', values.rounds),
    latencyRounds: wholeNumber('--latency-rounds', values['latency-rounds']),
    manyImages: wholeNumber('--many-images', values['many-images']),
    strideImages: wholeNumber('--stride', values.stride),
    again: new Set(listOf(values.again)),
  };
  const models = await collectModels({
    ...{ shared: settings.shared, workFolder, environments },
    names: listOf(values.models),
    trained: values.model,
  });
  const readLoad = watchLoad();
  const progress = createProgress(models.length * settings.tools.length);
  const results: ModelResult[] = [];
  for (const model of models) results.push(await measureModel(model, settings, progress));
  report(results, readLoad());
}

async function compareTraining(environments: Environments, folder: string): Promise<void> {
  const curves = await compareTrainingCurves(await environments.pythonOf('export'), folder, say);
  const rows = curves.map(({ name, stepCount, firstLoss, lastLoss, largestDifference }) => ({
    recipe: name,
    steps: stepCount,
    'first loss': firstLoss.toFixed(4),
    'last loss': lastLoss.toFixed(4),
    'largest difference': largestDifference.toExponential(1),
  }));
  process.stdout.write(`${renderRows(rows)}\n`);
  for (const { name, largestDifference } of curves) {
    if (largestDifference <= LARGEST_LOSS_DIFFERENCE) continue;
    say(`fault: ${name}: losses differ by more than ${LARGEST_LOSS_DIFFERENCE}`);
    process.exitCode = 1;
  }
}

async function checkEvents(environments: Environments, folder: string): Promise<void> {
  const python = await environments.pythonOf('export');
  const { scalarCount, tags, faults } = await checkTensorboardEvents(python, folder);
  say(`TensorBoard has read ${scalarCount} scalars under ${tags.join(', ')}`);
  for (const fault of faults) say(`fault: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

async function checkExchange(environments: Environments, folder: string): Promise<void> {
  const python = await environments.pythonOf('export');
  const { networks, faults } = await exchangeWeights(python, folder, say);
  const rows = networks.map(({ name, tensorCount, logitDifference, isReadBack }) => ({
    network: name,
    tensors: tensorCount,
    'largest difference of logits': logitDifference.toExponential(1),
    'read back from .pth': isReadBack ? 'exactly' : 'NO',
  }));
  process.stdout.write(`${renderRows(rows)}\n`);
  const different = networks
    .filter(({ logitDifference, isReadBack }) => {
      return !(logitDifference <= LARGEST_LOGIT_DIFFERENCE) || !isReadBack;
    })
    .map(({ name }) => `${name}: PyTorch's logits or saved weights differ`);
  for (const fault of [...different, ...faults]) {
    say(`fault: ${fault}`);
    process.exitCode = 1;
  }
}

function chooseTools(peers: string | undefined): Tool[] {
  if (peers === undefined) return [...TOOLS];
  const wanted = listOf(peers);
  const unknown = wanted.filter((name) => !TOOLS.some((tool) => tool === name));
  if (unknown.length > 0) {
    throw new UsageError({
      code: 'usage/invalid-argument',
      message: `--peers: unknown ${unknown.join(', ')}`,
      hint: `known: ${TOOLS.filter((tool) => !isDrq(tool)).join(', ')}`,
    });
  }
  return TOOLS.filter((tool) => isDrq(tool) || tool === BASELINE || wanted.includes(tool));
}

function listOf(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function wholeNumber(option: string, text: string): number {
  return text === '0' ? 0 : positiveInteger(option, text);
}

async function measureModel(
  model: PeerModel,
  settings: Settings,
  progress: Progress,
): Promise<ModelResult> {
  const { shared, workFolder } = settings;
  const photographs = await preparePhotographs(model, {
    ...{ shared, workFolder, calibrationCount: CALIBRATION_COUNT },
  });
  const cells = new Map<Tool, QuantizedCell[]>();
  for (let round = 0; round < settings.roundCount; round += 1) {
    for (const tool of settings.tools) {
      if (round > 0 && !COST_TOOLS.has(tool)) continue;
      const again = settings.again.has(tool) || settings.again.has('all');
      const cell = await quantizeCell({ ...settings, model, tool, photographs, round, again });
      cells.set(tool, [...(cells.get(tool) ?? []), cell]);
      if (round === 0) progress(describeCell(model, tool, cell));
    }
  }
  const tools: ToolResult[] = [];
  for (const [tool, [cell, ...later]] of cells) {
    if (cell === undefined) continue;
    const seconds = [cell, ...later].map((each) => each.seconds);
    const score =
      cell.error === null
        ? await scoreCell({ model, quantizedPath: cell.outputPath, photographs, workFolder })
        : null;
    const latency = await timeAgainstBaseline(tool, cells, photographs, settings);
    tools.push({ tool, cell, seconds, score, latency });
  }
  const result: ModelResult = {
    model: { name: model.name, weights: model.weights },
    float: {
      top1Percent:
        model.weights === 'grades'
          ? top1Percent(await logitsOf(model.path, photographs, workFolder), photographs.labels)
          : null,
    },
    tools,
    manyImages: await measureManyImages(model, settings),
  };
  say(renderTools(result));
  return result;
}

/** Kept by both files' bytes: an unchanged pair need not be timed again. */
async function timeAgainstBaseline(
  tool: Tool,
  cells: ReadonlyMap<Tool, readonly QuantizedCell[]>,
  { testImages }: Photographs,
  { latencyRounds, workFolder, again }: Settings,
): Promise<LatencyRatio | null> {
  const baseline = cells.get(BASELINE)?.[0];
  const cell = cells.get(tool)?.[0];
  if (latencyRounds === 0 || tool === BASELINE || tool === 'drq-min-max') return null;
  if (baseline?.error !== null || cell?.error !== null) return null;
  const hash = createHash('sha256').update(`2 ${latencyRounds}`); // 2: format of what is kept
  for (const { outputPath } of [baseline, cell]) hash.update(await readFile(outputPath));
  const path = join(workFolder, 'latency', `${hash.digest('hex').slice(0, 24)}.json`);
  const isKept = !again.has('latency') && !again.has('all');
  const kept = isKept ? await readFile(path, 'utf8').catch(() => null) : null; // null: not timed yet
  if (kept !== null) return JSON.parse(kept) as LatencyRatio; // written below
  // Peers whose files are only told for context get one round.
  const rounds = isDrq(tool) ? latencyRounds : 1;
  const { outputPath } = cell;
  const latency = await latencyRatio(baseline.outputPath, outputPath, testImages, rounds);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(latency));
  return latency;
}

async function measureManyImages(
  model: PeerModel,
  settings: Settings,
): Promise<ModelResult['manyImages']> {
  const { shared, workFolder, manyImages } = settings;
  if (manyImages === 0 || model.name !== MEMORY_MODEL) return null;
  const photographs = await preparePhotographs(model, {
    ...{ shared, workFolder, calibrationCount: manyImages },
  });
  const cell = await quantizeCell({
    ...settings,
    ...{ model, photographs, tool: 'drq-default', round: 0 },
    again: settings.again.has('many-images') || settings.again.has('all'),
  });
  return { imageCount: photographs.calibrationCount, peakMemoryBytes: cell.peakMemoryBytes };
}

type Progress = (line: string) => void;

/** Says what is done and about how long the rest takes, by what each measurement took so far. */
function createProgress(total: number): Progress {
  const startedAt = performance.now();
  let done = 0;
  return (line) => {
    done += 1;
    const minutes = ((performance.now() - startedAt) / done) * ((total - done) / 60_000);
    const left = done === total ? '' : `; about ${Math.ceil(minutes)} min left`;
    say(`[${done}/${total}] ${line}${left}`);
  };
}

function describeCell(model: PeerModel, tool: Tool, cell: QuantizedCell): string {
  const outcome =
    cell.error ?? `${cell.seconds.toFixed(1)} s, ${(cell.peakMemoryBytes / 1e9).toFixed(2)} GB`;
  return `${model.name}, ${tool}: ${outcome}`;
}

function renderTools({ model, float, tools }: ModelResult): string {
  const number = (value: number | null | undefined, digits: number): string =>
    value === null || value === undefined ? '' : value.toFixed(digits);
  const column = (title: string, cellOf: (result: ToolResult) => string, left = false) => ({
    title,
    kind: left ? ('text' as const) : ('number' as const),
    cells: tools.map(cellOf),
  });
  const title = float.top1Percent === null ? '' : ` (fp32 top-1 ${number(float.top1Percent, 2)} %)`;
  return renderBoxTable([
    column(`${model.name}${title}`, ({ tool }) => tool, true),
    column('SQNR dB', ({ score }) => number(score?.sqnrDb, 2)),
    column('mean dB', ({ score }) => number(score?.meanSqnrDb, 2)),
    column('agree %', ({ score }) => number(score?.agreementPercent, 2)),
    column('of all unseen', ({ score }) => number(score?.unseenAgreementPercent, 2)),
    column('top-1 %', ({ score }) => number(score?.top1Percent, 2)),
    column('s', ({ seconds }) => seconds.map((value) => value.toFixed(1)).join(' ')),
    column('GB', ({ cell }) => number(cell.peakMemoryBytes / 1e9, 2)),
    column('MB', ({ cell }) => number(cell.sizeBytes / 1e6, 2)),
    column('latency / onnxruntime’s', ({ latency }) => (latency ? describeRatio(latency) : '')),
    column('float between', ({ score, cell }) => cell.error ?? describeFloat(score), true),
  ]);
}

function describeFloat(score: ToolResult['score']): string {
  const counts = new Map<string, number>();
  for (const name of score?.floatBetween ?? []) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ') || '0';
}

function report(results: readonly ModelResult[], load: unknown): void {
  const judgements = judge(results);
  const column = (title: string, key: keyof Judgement) => ({
    title,
    kind: 'text' as const,
    cells: judgements.map((judgement) => {
      const value = judgement[key];
      return typeof value === 'boolean' ? (value ? 'yes' : 'NO') : value;
    }),
  });
  const passed = judgements.every(({ held }) => held);
  const machine = {
    cpuModel: cpus()[0]?.model ?? '',
    coreCount: availableParallelism(),
    nodeVersion: process.version,
    load,
  };
  process.stdout.write(
    `${renderBoxTable([
      column('measure', 'measure'),
      column('model', 'model'),
      column('must be', 'mustBe'),
      column('measured', 'measured'),
      column('held', 'held'),
    ])}\n${JSON.stringify({ benchmark: 'peers', passed, machine, judgements, results })}\n`,
  );
  if (!passed) process.exitCode = 1;
}

await runProgramMain(main);
