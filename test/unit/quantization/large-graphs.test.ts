import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeIntegers, makeTensor, type NodeSpec } from '../../../src/onnx/build.ts';
import { graphOf, type OnnxGraph, type OnnxModel } from '../../../src/onnx/model.ts';
import { dropCopies } from '../../../src/onnx/transforms/drop-copies.ts';
import { foldAffine } from '../../../src/onnx/transforms/fold-affine.ts';
import { foldConstants } from '../../../src/onnx/transforms/fold-constants.ts';
import { foldPad } from '../../../src/onnx/transforms/fold-pad.ts';
import { lowerReduceMean } from '../../../src/onnx/transforms/lower-reduce-mean.ts';
import { matmulToGemm } from '../../../src/onnx/transforms/matmul-to-gemm.ts';
import { normalizeGemm } from '../../../src/onnx/transforms/normalize-gemm.ts';
import { sinkTransposes } from '../../../src/onnx/transforms/sink-transposes.ts';
import { insertQdq } from '../../../src/quantization/insert-qdq.ts';
import { markGraph } from '../../../src/quantization/mark-graph.ts';
import { planQuantization } from '../../../src/quantization/quantization-plan.ts';
import { quantizeModel } from '../../../src/quantization/quantize-model.ts';
import { prepareModel } from '../../../src/quantization/prepare-model.ts';
import { countReads } from '../../support/counted-graph.ts';
import { smallModel } from '../../support/quantize-one.ts';

const CHANNELS = 2;
const SIZE = 4;
const SCHEME = {
  granularity: 'per-channel',
  target: 'vnni',
  firstConvolution: 'keep',
} as const;

/** A network of so many blocks, each with something for every pass. */
function networkOf(blockCount: number): OnnxModel {
  const nodes: NodeSpec[] = [];
  const tensors = [
    makeIntegers('pads', [0, 0, 1, 1, 0, 0, 1, 1]),
    makeTensor('ones', [CHANNELS], new Float32Array(CHANNELS).fill(1)),
    makeTensor('half', [1, CHANNELS, 1, 1], new Float32Array(CHANNELS).fill(0.5)),
    makeIntegers('shape', [1, CHANNELS, SIZE, SIZE]),
  ];
  let last = 'input';
  const add = (
    opType: string,
    name: string,
    others: string[] = [],
    attributes: NodeSpec['attributes'] = {},
  ): void => {
    nodes.push({ opType, name, inputs: [last, ...others], outputs: [name], attributes });
    last = name;
  };
  for (let i = 0; i < blockCount; i += 1) {
    const stream = last;
    const weights = new Float32Array(CHANNELS * CHANNELS * 9).fill(0.1);
    tensors.push(
      makeTensor(`w${i}`, [CHANNELS, CHANNELS, 3, 3], weights),
      makeTensor(`m${i}`, [SIZE, SIZE], new Float32Array(SIZE * SIZE).fill(0.1)),
      makeTensor(`c${i}`, [CHANNELS, CHANNELS], new Float32Array(CHANNELS ** 2).fill(0.1)),
    );
    add('Pad', `pad${i}`, ['pads']);
    add('Conv', `conv${i}`, [`w${i}`]);
    add('BatchNormalization', `norm${i}`, ['ones', 'ones', 'ones', 'ones']);
    add('Relu', `relu${i}`);
    add('Identity', `identity${i}`);
    add('Dropout', `dropout${i}`);
    add('Add', `sum${i}`, [stream]);
    add('Mul', `scaled${i}`, ['half']);
    const sum = last;
    add('ReduceMean', `high${i}`, [], { axes: [2] });
    add('ReduceMean', `wide${i}`, [], { axes: [3] });
    add('Expand', `gate${i}`, ['shape']);
    add('Mul', `gated${i}`, [sum]);
    add('Transpose', `last${i}`, [], { perm: [0, 2, 3, 1] });
    add('Sigmoid', `sigmoid${i}`);
    add('Transpose', `first${i}`, [], { perm: [0, 3, 1, 2] });
    add('MaxPool', `pool${i}`, [], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    add('Relu', `codes${i}`);
    add('MatMul', `product${i}`, [`m${i}`]);
  }
  const input = [1, CHANNELS, SIZE, SIZE];
  return smallModel({ input, output: last, nodes, tensors });
}

/** How often twice the blocks make a pass ask for inputs and names; twice where it is linear. */
function growthOf(work: (blockCount: number) => () => number): number {
  const [few, many] = [work(30)(), work(60)()];
  return many / few;
}

/** Quadratic passes come to 3.5 and more. */
const LARGEST_GROWTH = 2.2;

test('the passes over a graph take time in proportion to it', () => {
  const passes: readonly ((graph: OnnxGraph) => void)[] = [
    ...[foldConstants, dropCopies, lowerReduceMean, sinkTransposes],
    ...[matmulToGemm, normalizeGemm, foldPad, foldAffine],
  ];
  for (const [i, pass] of passes.entries()) {
    const growth = growthOf((blockCount) => {
      const graph = graphOf(networkOf(blockCount));
      for (const earlier of passes.slice(0, i)) earlier(graph);
      const reads = countReads(graph);
      pass(graph);
      return reads;
    });
    assert.ok(growth < LARGEST_GROWTH, `${pass.name}: ${growth}`);
  }
});

test('so do the plan and what carries it out', () => {
  const rangesOf = (model: OnnxModel) => {
    const sources = [...markGraph(graphOf(model)).tensors.values()].map(({ source }) => source);
    return {
      tensors: Object.fromEntries(sources.map((source, i) => [source, { min: -1, max: 1 + i }])),
    };
  };
  const growth = growthOf((blockCount) => {
    const model = prepareModel(networkOf(blockCount));
    const table = rangesOf(model);
    const reads = countReads(graphOf(model));
    const plan = planQuantization(graphOf(model), table, { ...SCHEME, range: 'max' });
    const layers = plan.layers.map((layer) => ({
      ...layer,
      weight: {
        codes: new Int8Array(layer.weightDims.reduce((a, b) => a * b)),
        scales: layer.scales,
        sqnrDb: Infinity,
      },
      worstPairSum: 0,
    }));
    insertQdq(model, { ...plan, layers });
    return reads;
  });
  assert.ok(growth < LARGEST_GROWTH, `${growth}`);
  const whole = networkOf(2);
  const options = { ...SCHEME, weightRange: 'max' } as const;
  const quantized = quantizeModel(whole, rangesOf(prepareModel(whole)), options);
  const kinds = new Set(graphOf(quantized.model).node.map(({ opType }) => opType));
  assert.ok(kinds.has('QuantizeLinear') && kinds.has('Clip') && !kinds.has('BatchNormalization'));
});
