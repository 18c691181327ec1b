import type { PeerModel } from './models.ts';
import type { QuantizedCell } from './quantize-cell.ts';
import type { LatencyRatio, Score } from './score-cell.ts';
import type { Tool } from './tools.ts';

export interface ToolResult {
  readonly tool: Tool;
  readonly cell: QuantizedCell;
  /** Wall time of every round. */
  readonly seconds: readonly number[];
  /** Null where the tool failed. */
  readonly score: Score | null;
  /** Against the file of onnxruntime's min-max; null where it was not timed. */
  readonly latency: LatencyRatio | null;
}

export interface ModelResult {
  readonly model: Pick<PeerModel, 'name' | 'weights'>;
  readonly float: { readonly top1Percent: number | null };
  readonly tools: readonly ToolResult[];
  /** Of drq's default with many more images; null where it was not measured. */
  readonly manyImages: { readonly imageCount: number; readonly peakMemoryBytes: number } | null;
}

export interface Judgement {
  readonly measure: string;
  readonly model: string;
  readonly mustBe: string;
  readonly measured: string;
  readonly held: boolean;
}

const PEER_DEFAULTS: readonly Tool[] = [
  'onnxruntime-min-max',
  'nncf',
  'neural-compressor',
  'onnxruntime-percentile',
];
const PEERS_FOR_AGREEMENT: readonly Tool[] = [...PEER_DEFAULTS, 'onnxruntime-entropy'];
const MIN_MAX_MARGIN_DB = 2;
/** Of the hard case: a network trained in float, whose fp32 top-1 is 58.25 %. */
const HARD_CASE = { name: 'mobilenet_v2_idrid', lostPoints: 1, agreementPercent: 96, sqnrDb: 28 };
const MEMORY_MODEL = 'resnet50';
const MEMORY_BYTES = 0.8e9;
const MEMORY_SPREAD = 0.1;
const WITHOUT_FLOAT = /^(alexnet|mobilenet_v2|resnet|densenet|inception)/;

/**
 * What issue "the quantizer" asks for, as far as the tools at hand allow to judge it. SQNR is the mean
 * of the images' own, which is how the issue's figures were taken: pooled over all logits the few images
 * with the largest ones decide.
 */
export function judge(results: readonly ModelResult[]): Judgement[] {
  return results.flatMap((result) => [
    ...judgeFidelity(result),
    ...judgeHardCase(result),
    ...judgeAgreement(result),
    ...judgeLatency(result),
    ...judgeCost(result),
    ...judgeMemory(result),
    ...judgeFloat(result),
  ]);
}

function judgeFidelity(result: ModelResult): Judgement[] {
  const ours = sqnrOf(result, 'drq-default');
  if (ours === null) return [];
  const judgements: Judgement[] = [];
  const best = bestOf(result, PEER_DEFAULTS, (score) => score.meanSqnrDb);
  if (best !== null) {
    judgements.push({
      measure: 'logits SQNR above every peer',
      model: result.model.name,
      mustBe: `> ${best.value.toFixed(2)} dB (${best.tool})`,
      measured: `${ours.toFixed(2)} dB`,
      held: ours > best.value,
    });
  }
  const minMax = sqnrOf(result, 'onnxruntime-min-max');
  if (minMax !== null) {
    judgements.push({
      measure: 'logits SQNR over onnxruntime min-max',
      model: result.model.name,
      mustBe: `>= +${MIN_MAX_MARGIN_DB} dB`,
      measured: `${signed(ours - minMax)} dB`,
      held: ours - minMax >= MIN_MAX_MARGIN_DB,
    });
  }
  return judgements;
}

function judgeHardCase(result: ModelResult): Judgement[] {
  const score = scoreOf(result, 'drq-default');
  const float = result.float.top1Percent;
  if (result.model.name !== HARD_CASE.name || score === null || float === null) return [];
  const top1 = score.top1Percent ?? NaN;
  const row = (measure: string, mustBe: string, measured: string, held: boolean): Judgement => ({
    ...{ measure, model: result.model.name, mustBe, measured, held },
  });
  return [
    row(
      'top-1, int8',
      `>= ${(float - HARD_CASE.lostPoints).toFixed(2)} % (fp32 ${float.toFixed(2)})`,
      `${top1.toFixed(2)} %`,
      top1 >= float - HARD_CASE.lostPoints,
    ),
    row(
      'agreement with fp32',
      `>= ${HARD_CASE.agreementPercent} %`,
      `${score.agreementPercent.toFixed(2)} %`,
      score.agreementPercent >= HARD_CASE.agreementPercent,
    ),
    row(
      'logits SQNR',
      `>= ${HARD_CASE.sqnrDb} dB`,
      `${(score.meanSqnrDb ?? Infinity).toFixed(2)} dB`,
      (score.meanSqnrDb ?? Infinity) >= HARD_CASE.sqnrDb,
    ),
  ];
}

function judgeAgreement(result: ModelResult): Judgement[] {
  const ours = scoreOf(result, 'drq-default')?.agreementPercent;
  const best = bestOf(result, PEERS_FOR_AGREEMENT, (score) => score.agreementPercent);
  if (result.model.weights === 'random' || ours === undefined || best === null) return [];
  return [
    {
      measure: 'agreement, best peer',
      model: result.model.name,
      mustBe: `>= ${best.value.toFixed(2)} % (${best.tool})`,
      measured: `${ours.toFixed(2)} %`,
      held: ours >= best.value,
    },
  ];
}

function judgeLatency(result: ModelResult): Judgement[] {
  const latency = toolOf(result, 'drq-default')?.latency;
  if (latency === undefined || latency === null) return [];
  const bound = result.model.name.startsWith('mobilenet_v2') ? 0.97 : 1;
  return [
    {
      measure: 'latency against onnxruntime’s file',
      model: result.model.name,
      mustBe: `<= ${bound}`,
      measured: describeRatio(latency),
      held: latency.ratio <= bound,
    },
  ];
}

function judgeCost(result: ModelResult): Judgement[] {
  return [
    judgeTimeRatio(result, 'drq-min-max', 'onnxruntime-min-max', 0.5),
    judgeTimeRatio(result, 'drq-default', 'nncf', 1),
  ].flatMap((judgement) => judgement ?? []);
}

function judgeTimeRatio(
  result: ModelResult,
  ours: Tool,
  theirs: Tool,
  bound: number,
): Judgement | null {
  const a = toolOf(result, ours);
  const b = toolOf(result, theirs);
  if (a?.score === undefined || a.score === null || b?.score === undefined || b.score === null)
    return null;
  const ratios = a.seconds
    .flatMap((seconds, round) => (b.seconds[round] === undefined ? [] : seconds / b.seconds[round]))
    .sort((x, y) => x - y);
  const ratio = ratios[Math.floor(ratios.length / 2)] ?? NaN;
  const spread =
    ratios.length > 1 ? ` (${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)})` : '';
  return {
    measure: `time, ${ours} / ${theirs}`,
    model: result.model.name,
    mustBe: `<= ${bound}`,
    measured: `${ratio.toFixed(2)}${spread}`,
    held: ratio <= bound,
  };
}

function judgeMemory(result: ModelResult): Judgement[] {
  const few = toolOf(result, 'drq-default')?.cell.peakMemoryBytes ?? 0;
  if (result.model.name !== MEMORY_MODEL || few === 0) return [];
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
  const bound = `<= ${gigabytes(MEMORY_BYTES)}`;
  const row = { measure: 'peak memory, 128 images', model: result.model.name, mustBe: bound };
  const judgements = [{ ...row, measured: gigabytes(few), held: few <= MEMORY_BYTES }];
  if (result.manyImages === null) return judgements;
  const { imageCount, peakMemoryBytes } = result.manyImages;
  return [
    ...judgements,
    {
      ...row,
      measure: `peak memory, ${imageCount} images`,
      mustBe: `${bound}, equal within ${MEMORY_SPREAD * 100} %`,
      measured: gigabytes(peakMemoryBytes),
      held: peakMemoryBytes <= MEMORY_BYTES && Math.abs(peakMemoryBytes / few - 1) <= MEMORY_SPREAD,
    },
  ];
}

function judgeFloat(result: ModelResult): Judgement[] {
  const score = scoreOf(result, 'drq-default');
  if (score === null || !WITHOUT_FLOAT.test(result.model.name)) return [];
  const found = score.floatBetween;
  return [
    {
      measure: 'float operators between integer layers',
      model: result.model.name,
      mustBe: '0',
      measured: found.length === 0 ? '0' : `${found.length}: ${[...new Set(found)].join(', ')}`,
      held: found.length === 0,
    },
  ];
}

export function describeRatio({ ratio, interval, fastestRatio }: LatencyRatio): string {
  const spread =
    interval === null ? '' : ` (${interval[0].toFixed(3)} to ${interval[1].toFixed(3)})`;
  return `${ratio.toFixed(3)}${spread}, fastest ${fastestRatio.toFixed(3)}`;
}

function toolOf(result: ModelResult, tool: Tool): ToolResult | undefined {
  return result.tools.find((each) => each.tool === tool);
}

function scoreOf(result: ModelResult, tool: Tool): Score | null {
  return toolOf(result, tool)?.score ?? null;
}

function sqnrOf(result: ModelResult, tool: Tool): number | null {
  return scoreOf(result, tool)?.meanSqnrDb ?? null;
}

function bestOf(
  result: ModelResult,
  tools: readonly Tool[],
  valueOf: (score: Score) => number | null,
): { tool: Tool; value: number } | null {
  let best: { tool: Tool; value: number } | null = null;
  for (const tool of tools) {
    const score = scoreOf(result, tool);
    const value = score === null ? null : valueOf(score);
    if (value !== null && value > (best?.value ?? -Infinity)) best = { tool, value };
  }
  return best;
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(2)}`;
}
