import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSqnrAccumulator } from '../../src/metrics/sqnr.ts';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import type { Initializer } from '../../src/onnx/model.ts';
import {
  nodeSpec,
  normalTensor,
  normalValues,
  quantizeOne,
  smallModel,
} from '../support/quantize-one.ts';

/** A small network with one kind of connection, and the operators its optimised graph may have. */
interface Block {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly tensors: readonly Initializer[];
  readonly operators: readonly string[];
}

/** [N, from, H, W] → [N, to, H, W] with a square kernel, weights of a sane size. */
function conv(output: string, input: string, from: number, to: number, kernel = 3, group = 1) {
  const pad = (kernel - 1) / 2;
  const inner = from / group;
  return {
    nodes: [
      nodeSpec('Conv', [input, `${output}_w`, `${output}_b`], output, {
        group,
        pads: [pad, pad, pad, pad],
        kernel_shape: [kernel, kernel],
      }),
    ],
    tensors: [
      normalTensor(
        `${output}_w`,
        [to, inner, kernel, kernel],
        Math.sqrt(2 / (inner * kernel * kernel)),
      ),
      normalTensor(`${output}_b`, [to], 0.1),
    ],
  };
}

const batchNorm = (output: string, input: string, channels: number) => ({
  nodes: [
    nodeSpec(
      'BatchNormalization',
      [input, ...'gbmv'.split('').map((p) => `${output}_${p}`)],
      output,
    ),
  ],
  tensors: [
    normalTensor(`${output}_g`, [channels]),
    normalTensor(`${output}_b`, [channels]),
    normalTensor(`${output}_m`, [channels], 0.1),
    makeTensor(
      `${output}_v`,
      [channels],
      normalValues(`${output}_v`, channels).map((value) => Math.abs(value) + 0.5),
    ),
  ],
});
const only = (...nodes: readonly NodeSpec[]) => ({ nodes, tensors: [] as readonly Initializer[] });
const relu = (output: string, input: string) => only(nodeSpec('Relu', [input], output));

/** Average over the image, five classes. */
const head = (input: string, channels: number) => ({
  nodes: [
    nodeSpec('GlobalAveragePool', [input], 'pooled'),
    nodeSpec('Flatten', ['pooled'], 'flat'),
    nodeSpec('Gemm', ['flat', 'head_w', 'head_b'], 'y', { transB: 1 }),
  ],
  tensors: [normalTensor('head_w', [5, channels], 0.3), normalTensor('head_b', [5], 0.1)],
});

interface Part {
  readonly nodes: readonly NodeSpec[];
  readonly tensors: readonly Initializer[];
}

const joined = (parts: readonly Part[]) => ({
  nodes: parts.flatMap(({ nodes }) => nodes),
  tensors: parts.flatMap(({ tensors }) => tensors),
});

const ALWAYS = [
  'QuantizeLinear',
  'Transpose',
  'QLinearConv',
  'QLinearGlobalAveragePool',
  'Flatten',
  'QGemm',
];
const BLOCKS: readonly Block[] = [
  {
    name: 'residual, with batch norm and a projection',
    ...joined([
      conv('stem', 'input', 3, 16),
      relu('r0', 'stem'),
      conv('c1', 'r0', 16, 16),
      batchNorm('n1', 'c1', 16),
      relu('r1', 'n1'),
      conv('c2', 'r1', 16, 32),
      batchNorm('n2', 'c2', 32),
      conv('p', 'r0', 16, 32, 1),
      only(nodeSpec('Sum', ['n2', 'p'], 's')),
      relu('r2', 's'),
      head('r2', 32),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearAdd'],
  },
  {
    name: 'inception, four branches',
    ...joined([
      conv('stem', 'input', 3, 16),
      relu('r0', 'stem'),
      conv('a', 'r0', 16, 16, 1),
      relu('ra', 'a'),
      conv('b1', 'r0', 16, 16, 1),
      relu('rb1', 'b1'),
      conv('b', 'rb1', 16, 16, 5),
      relu('rb', 'b'),
      only(
        nodeSpec('AveragePool', ['r0'], 'd1', {
          kernel_shape: [3, 3],
          pads: [1, 1, 1, 1],
          count_include_pad: 1,
        }),
        nodeSpec('MaxPool', ['r0'], 'm', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
      ),
      conv('d', 'd1', 16, 16, 1),
      relu('rd', 'd'),
      only(nodeSpec('Concat', ['ra', 'rb', 'rd', 'm'], 'k', { axis: 1 })),
      conv('e', 'k', 64, 16, 1),
      relu('re', 'e'),
      head('re', 16),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearConcat', 'NhwcMaxPool'],
  },
  {
    name: 'squeeze-and-excite, with SiLU and HardSigmoid, means by ReduceMean',
    ...joined([
      conv('stem', 'input', 3, 16),
      only(nodeSpec('Sigmoid', ['stem'], 'g0'), nodeSpec('Mul', ['stem', 'g0'], 'r0')),
      conv('dw', 'r0', 16, 16, 3, 16),
      relu('r1', 'dw'),
      only(nodeSpec('ReduceMean', ['r1'], 'q', { axes: [2, 3], keepdims: 1 })),
      conv('s1', 'q', 16, 4, 1),
      relu('rs1', 's1'),
      conv('s2', 'rs1', 4, 16, 1),
      only(
        nodeSpec('HardSigmoid', ['s2'], 'gate', { alpha: { float: 1 / 6 } }),
        nodeSpec('Mul', ['gate', 'r1'], 'excited'),
      ),
      conv('e', 'excited', 16, 16, 1),
      only(nodeSpec('Add', ['e', 'r0'], 'sum')),
      head('sum', 16),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearSigmoid', 'QLinearMul', 'QLinearAdd'],
  },
  {
    name: 'HardSwish as older exporters write it: x * clip(x + 3, 0, 6) / 6',
    ...joined([
      conv('stem', 'input', 3, 16),
      {
        nodes: [
          nodeSpec('Add', ['stem', 'three'], 'a'),
          nodeSpec('Clip', ['a', 'zero', 'six'], 'k'),
          nodeSpec('Mul', ['stem', 'k'], 'm'),
          nodeSpec('Div', ['m', 'six'], 'h'),
        ],
        tensors: [
          makeTensor('zero', [], Float32Array.of(0)),
          makeTensor('three', [], Float32Array.of(3)),
          makeTensor('six', [], Float32Array.of(6)),
        ],
      },
      conv('e', 'h', 16, 16),
      head('e', 16),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearAdd', 'QLinearMul'],
  },
  {
    name: 'HardSwish as one node, HardSigmoid and a product',
    ...joined([
      conv('stem', 'input', 3, 16),
      only(nodeSpec('HardSwish', ['stem'], 'h')),
      conv('e', 'h', 16, 16),
      only(
        nodeSpec('HardSigmoid', ['e'], 'gate', { alpha: { float: 1 / 6 } }),
        nodeSpec('Mul', ['e', 'gate'], 'g'),
      ),
      head('g', 16),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearAdd', 'QLinearMul'],
  },
  {
    name: 'dense, with batch norm and Relu before each convolution',
    ...joined([
      conv('x0', 'input', 3, 16),
      batchNorm('n1', 'x0', 16),
      relu('r1', 'n1'),
      conv('x1', 'r1', 16, 16),
      only(nodeSpec('Concat', ['x0', 'x1'], 'k1', { axis: 1 })),
      batchNorm('n2', 'k1', 32),
      relu('r2', 'n2'),
      conv('x2', 'r2', 32, 16),
      only(nodeSpec('Concat', ['x0', 'x1', 'x2'], 'k2', { axis: 1 })),
      batchNorm('n3', 'k2', 48),
      relu('r3', 'n3'),
      head('r3', 48),
    ]),
    operators: [...ALWAYS, 'Pad', 'QLinearConcat'],
  },
];

/** A sound 8-bit network of this depth has 25 to 40 dB; a wrong scale or a lost branch below 10. */
const LEAST_SQNR_DB = 20;

for (const { name, nodes, tensors, operators } of BLOCKS) {
  test(`${name}: all in integers, close to float`, async (t) => {
    const model = smallModel({ nodes, tensors, input: [4, 3, 12, 12], output: 'y' });
    const values = normalValues('input', 4 * 3 * 12 * 12);
    const result = await quantizeOne(t, model, values, { firstConvolution: 'pad' });
    assert.deepEqual(result.plan.floatNodes, []);
    assert.deepEqual(result.optimized.floatNodes, []);
    const unexpected = Object.keys(result.optimized.operators)
      .map((operator) => operator.replace('com.microsoft.', ''))
      .filter((operator) => !operators.includes(operator));
    assert.deepEqual(unexpected, []);
    const sums = createSqnrAccumulator();
    sums.add(result.float['y']!, result.fused['y']!);
    const sqnrDb = sums.finishDb() ?? Infinity;
    assert.ok(sqnrDb > LEAST_SQNR_DB, `${sqnrDb.toFixed(1)} dB`);
  });
}
