import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../../src/onnx/build.ts';
import { graphOf } from '../../../src/onnx/model.ts';
import { markGraph } from '../../../src/quantization/mark-graph.ts';
import { planQuantization } from '../../../src/quantization/quantization-plan.ts';
import { smallModel } from '../../support/quantize-one.ts';

const node = (opType: string, inputs: readonly string[], output: string): NodeSpec => ({
  opType,
  name: output,
  inputs,
  outputs: [output],
});
const tensors = [
  makeTensor('w', [4, 4, 1, 1], new Float32Array(16).fill(1)),
  makeTensor('zero', [], Float32Array.of(0)),
  makeTensor('six', [], Float32Array.of(6)),
  makeTensor('one', [], Float32Array.of(1)),
  makeTensor('minus', [], Float32Array.of(-1)),
];
const SCHEME = {
  granularity: 'per-channel',
  range: 'max',
  target: 'vnni',
  firstConvolution: 'keep',
} as const;
const graphWith = (nodes: readonly NodeSpec[], output = 'y') =>
  graphOf(smallModel({ nodes, tensors, output, input: [1, 4, 4, 4] }));

test('nothing is quantized between a convolution and its activation', () => {
  const marks = markGraph(
    graphWith([
      node('Conv', ['input', 'w'], 'c'),
      node('Clip', ['c', 'zero', 'six'], 'r'),
      node('Conv', ['r', 'w'], 'd'),
      node('Relu', ['d'], 'y'),
    ]),
  );
  assert.deepEqual([...marks.tensors.keys()], ['input', 'r', 'y']);
  const read = { low: -Infinity, high: Infinity };
  assert.deepEqual(marks.tensors.get('r'), { source: 'r', low: 0, high: 6, read });
  assert.deepEqual(marks.floatNodes, []);
});

test('a convolution that is read besides by another node keeps its own range, and Relu shares it', () => {
  const { tensors, floatNodes } = markGraph(
    graphWith([
      node('Conv', ['input', 'w'], 'c'),
      node('Relu', ['c'], 'r'),
      node('Add', ['r', 'c'], 'y'),
    ]),
  );
  assert.deepEqual([...tensors.keys()], ['input', 'c', 'r', 'y']);
  assert.equal(tensors.get('r')?.source, 'c');
  assert.deepEqual(floatNodes, []);
});

test('what HardSwish makes 0 takes no codes, unless something else reads it', () => {
  const hardSwish = [
    node('Conv', ['input', 'w'], 'c'),
    node('Add', ['c', 'one'], 'sum'),
    node('Clip', ['sum', 'zero', 'six'], 'gate'),
    node('Mul', ['c', 'gate'], 'h'),
  ];
  const alone = markGraph(graphWith(hardSwish, 'h'));
  assert.deepEqual(alone.tensors.get('c')?.read, { low: -1, high: Infinity });
  const { tensors } = markGraph(graphWith([...hardSwish, node('Add', ['h', 'c'], 'y')]));
  assert.equal(tensors.get('c')?.read.low, -Infinity);
});

test('what no reader lets through takes no codes', () => {
  const rangeOf = (nodes: readonly NodeSpec[], range = { min: -42, max: 40 }): number[] => {
    const graph = graphWith([node('Conv', ['input', 'w'], 'c'), ...nodes]);
    const sources = [...markGraph(graph).tensors.values()].map(({ source }) => source);
    const table = { tensors: Object.fromEntries(sources.map((source) => [source, range])) };
    const { scale, zeroPoint } = planQuantization(graph, table, SCHEME).activations.get('c')!;
    return [-zeroPoint, 255 - zeroPoint].map((code) => Math.round(code * scale * 10) / 10);
  };
  const hardtanh = node('Clip', ['c', 'minus', 'one'], 'h');
  const behind = node('Conv', ['h', 'w'], 'y');
  assert.deepEqual(rangeOf([hardtanh, behind]), [-1, 1]);
  assert.deepEqual(rangeOf([hardtanh, behind], { min: -0.5, max: 7 }), [-0.5, 1]);
  // Of several readers the union counts; any other node tells all values apart.
  const six = node('Clip', ['c', 'zero', 'six'], 's');
  assert.deepEqual(rangeOf([hardtanh, six, node('Mul', ['h', 's'], 'y')]), [-1, 6]);
  assert.deepEqual(rangeOf([hardtanh, node('Mul', ['h', 'c'], 'y')]).map(Math.round), [-42, 40]);
});

test('a pool shares the parameters of its input, and so does what follows', () => {
  const { tensors } = markGraph(
    graphWith([
      node('Conv', ['input', 'w'], 'c'),
      node('MaxPool', ['c'], 'p'),
      node('Flatten', ['p'], 'y'),
    ]),
  );
  assert.deepEqual([tensors.get('p')!.source, tensors.get('y')!.source], ['c', 'c']);
});

test('what a later layer asks for reaches the nodes before it, in any order of nodes', () => {
  const reading = [
    node('MaxPool', ['t'], 'p'),
    node('Sigmoid', ['t'], 's'),
    node('Add', ['s', 'h'], 'a'),
    node('Relu', ['a'], 'r'),
  ];
  const inOrder = (...nodes: readonly NodeSpec[]) => {
    const { tensors, floatNodes } = markGraph(
      graphWith([
        node('Tanh', ['input'], 't'),
        node('Softsign', ['input'], 'h'),
        ...nodes,
        node('Concat', ['p', 'c'], 'joined'),
        node('Concat', ['joined', 'r'], 'y'),
      ]),
    );
    assert.deepEqual(
      floatNodes.map(({ operator }) => operator),
      ['Tanh', 'Softsign'],
    );
    assert.equal(tensors.get('p')?.source, 't');
    assert.equal(tensors.has('a'), false); // the Relu is fused into the Add
    return new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  const convolution = node('Conv', ['t', 'w'], 'c');
  assert.deepEqual(inOrder(...reading, convolution), inOrder(convolution, ...reading));
});

test('an unsupported operator stays float with its reason, and is joined by a pair', () => {
  const { tensors, floatNodes } = markGraph(
    graphWith([
      node('Conv', ['input', 'w'], 'c'),
      node('Softplus', ['c'], 's'),
      node('Conv', ['s', 'w'], 'y'),
    ]),
  );
  assert.deepEqual([...tensors.keys()], ['input', 'c', 's', 'y']);
  assert.deepEqual(floatNodes, [
    {
      node: 's',
      operator: 'Softplus',
      reason: 'onnxruntime has no integer form of it on the CPU',
    },
  ]);
});

test('the reason of computed weights names what keeps them from being known', () => {
  const reasonOf = (...making: readonly NodeSpec[]): string | undefined => {
    const convolution = node('Conv', ['input', 'v'], 'y');
    return markGraph(graphWith([...making, convolution])).floatNodes.at(-1)?.reason;
  };
  const ofConstants = [node('Sin', ['w'], 's'), node('Mul', ['s', 'one'], 'v')];
  assert.match(reasonOf(...ofConstants)!, /made in the graph by Sin, which is not computed ahead/);
  const ofInput = [node('Sin', ['w'], 's'), node('Mul', ['s', 'input'], 'v')];
  assert.match(reasonOf(...ofInput)!, /its weights are computed from the input/);
  assert.match(
    markGraph(graphWith([node('Conv', ['input', 'input'], 'y')])).floatNodes[0]!.reason,
    /are an input of the model/,
  );
});

test('weights computed in the graph, and excluded nodes, stay float', () => {
  const graph = graphWith([
    node('Add', ['one', 'w'], 'v'),
    node('Conv', ['input', 'v'], 'c'),
    node('Conv', ['c', 'w'], 'y'),
  ]);
  const { floatNodes, layers } = markGraph(graph, new Set(['y']));
  assert.deepEqual(layers, []);
  assert.deepEqual(
    floatNodes.map(({ node, reason }) => `${node}: ${reason}`),
    [
      'v: none of its inputs comes from an operator that runs in integers',
      'c: its weights are made in the graph by Add, which is not computed ahead',
      'y: it was excluded by parameter',
    ],
  );
});

test('with an activation its layer stays float, which it is fused into', () => {
  const graph = graphWith([
    node('Conv', ['input', 'w'], 'c'),
    node('Relu', ['c'], 'r'),
    node('Conv', ['r', 'w'], 'y'),
  ]);
  const { layers, floatNodes } = markGraph(graph, new Set(['r']));
  assert.deepEqual(
    layers.map((layer) => layer.node.name),
    ['y'],
  );
  assert.deepEqual(floatNodes, [
    { node: 'c', operator: 'Conv', reason: 'its activation "r" was excluded by parameter' },
    { node: 'r', operator: 'Relu', reason: 'it was excluded by parameter' },
  ]);
});

test('what only feeds an excluded node stays float with it', () => {
  const floatWith = (excluded: string, nodes: readonly NodeSpec[]) => {
    const marks = markGraph(graphWith(nodes), new Set([excluded]));
    return {
      float: marks.floatNodes.map(({ node, reason }) => `${node}: ${reason}`),
      coded: [...marks.tensors.keys()],
    };
  };
  const head = [
    node('Conv', ['input', 'w'], 'a'),
    node('Conv', ['input', 'w'], 'b'),
    node('LeakyRelu', ['a'], 'l'),
    node('Concat', ['l', 'b'], 'joined'),
    node('MaxPool', ['joined'], 'm'),
    node('GlobalAveragePool', ['m'], 'p'),
    node('Conv', ['p', 'w'], 'y'),
  ];
  const fed = 'it only feeds "y", which stays float';
  assert.deepEqual(floatWith('y', head), {
    float: [`l: ${fed}`, `joined: ${fed}`, `p: ${fed}`, 'y: it was excluded by parameter'],
    coded: ['input', 'a', 'b'],
  });
  // What another node reads is made in integers as before, and values are moved as codes.
  const shared = [
    ...head.slice(0, 5),
    node('Conv', ['m', 'w'], 'c'),
    node('Conv', ['m', 'w'], 'd'),
  ];
  assert.deepEqual(floatWith('c', [...shared, node('Add', ['c', 'd'], 'y')]), {
    float: ['c: it was excluded by parameter'],
    coded: ['input', 'a', 'b', 'l', 'joined', 'm', 'd', 'c', 'y'],
  });
  // With an activation in between, and with one that is excluded.
  const residual = [
    node('Conv', ['input', 'w'], 'a'),
    node('Add', ['a', 'input'], 's'),
    node('Relu', ['s'], 'r'),
    node('Conv', ['r', 'w'], 'c'),
    node('Relu', ['c'], 'y'),
  ];
  const byActivation = 'c: its activation "y" was excluded by parameter';
  assert.deepEqual(floatWith('y', residual), {
    float: [
      's: it only feeds "c", which stays float',
      byActivation,
      'y: it was excluded by parameter',
    ],
    coded: ['input', 'a'],
  });
});

test('a table of another model and unknown names are refused', () => {
  const graph = graphWith([node('Conv', ['input', 'w'], 'y')]);
  assert.throws(() => planQuantization(graph, { tensors: {} }, SCHEME), {
    code: 'quantization/missing-range',
    message: /tensor "input"/,
  });
  assert.throws(() => planQuantization(graph, { tensors: {} }, SCHEME, new Set(['nowhere'])), {
    code: 'quantization/unknown-node',
    message: /nowhere/,
  });
});
