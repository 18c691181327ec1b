import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type ModelResult, type ToolResult } from '../../peers/requirements.ts';
import type { Tool } from '../../peers/tools.ts';

function toolResult(
  tool: Tool,
  { sqnrDb, seconds, ratio }: { sqnrDb: number; seconds: number[]; ratio?: number },
): ToolResult {
  return {
    tool,
    cell: {
      ...{ outputPath: '', error: null, seconds: seconds[0] ?? 0, versions: {} },
      ...{ peakMemoryBytes: 0.5e9, sizeBytes: 1 },
    },
    seconds,
    score: {
      ...{
        sqnrDb,
        meanSqnrDb: sqnrDb,
        agreementPercent: 97,
        unseenAgreementPercent: 97,
        top1Percent: 58.25,
      },
      ...{ operators: {}, floatBetween: [] },
    },
    latency:
      ratio === undefined
        ? null
        : { ratio, baselineMs: 1, modelMs: ratio, interval: null, fastestRatio: 1, blockCount: 1 },
  };
}

function resultOf(name: string, tools: readonly ToolResult[]): ModelResult {
  return {
    model: { name, weights: 'grades' },
    float: { top1Percent: 58.25 },
    tools,
    manyImages: null,
  };
}

test('the bounds are those of the issue, and a tie with a peer is no win', () => {
  const minMax = toolResult('onnxruntime-min-max', { sqnrDb: 20, seconds: [10, 12] });
  const judgements = judge([
    resultOf('mobilenet_v2_idrid', [
      minMax,
      toolResult('nncf', { sqnrDb: 22, seconds: [20, 20] }),
      toolResult('drq-min-max', { sqnrDb: 20, seconds: [5, 9] }),
      toolResult('drq-default', { sqnrDb: 22, seconds: [21, 20], ratio: 0.98 }),
    ]),
  ]);
  const held = Object.fromEntries(judgements.map(({ measure, held }) => [measure, held]));
  assert.deepEqual(held, {
    'logits SQNR above every peer': false, // 22 is not above 22
    'logits SQNR over onnxruntime min-max': true, // 22 - 20 = 2
    'top-1, int8': true,
    'agreement with fp32': true,
    'logits SQNR': false, // 22 < 28
    'agreement, best peer': true, // 97 is not below 97
    'latency against onnxruntime’s file': false, // 0.98 > 0.97
    'time, drq-min-max / onnxruntime-min-max': false, // median of 0.5 and 0.75, upper
    'time, drq-default / nncf': false, // median of 1 and 1.05, upper
    'float operators between integer layers': true,
  });
});

test('a failed peer is not compared with', () => {
  const failed = { ...toolResult('nncf', { sqnrDb: 99, seconds: [1] }), score: null };
  const judgements = judge([
    resultOf('alexnet', [failed, toolResult('drq-default', { sqnrDb: 10, seconds: [2] })]),
  ]);
  assert.deepEqual(
    judgements.map(({ measure }) => measure),
    ['float operators between integer layers'],
  );
});
