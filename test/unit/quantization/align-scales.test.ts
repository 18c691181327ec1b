import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alignScales, type Join } from '../../../src/quantization/align-scales.ts';
import type { ActivationParameters } from '../../../src/quantization/parameters.ts';

/** Scales after aligning tensors of these scales; `read` are inputs of layers. */
function aligned(
  scales: Readonly<Record<string, number>>,
  joins: readonly Join[],
  options: {
    readonly read?: readonly string[];
    readonly shared?: Readonly<Record<string, string>>;
    readonly bounds?: Readonly<Record<string, number>>;
  } = {},
): Record<string, ActivationParameters> {
  const { read = [], shared = {}, bounds = {} } = options;
  const names = Object.keys(scales);
  const found = alignScales(
    new Map(names.map((name) => [name, { scale: scales[name]!, zeroPoint: 7 }])),
    {
      tensors: new Map(
        names.map((name) => [
          name,
          { source: shared[name] ?? name, low: 0, high: bounds[name] ?? Infinity },
        ]),
      ),
      joins,
      layers: read.map((inputTensor) => ({
        ...{ inputTensor, axis: 0 as const, weightName: '', biasName: undefined },
        node: { $typeName: 'onnx.NodeProto' } as never, // not looked at
      })),
    },
  );
  return Object.fromEntries(found);
}

const scalesOf = (found: Record<string, ActivationParameters>): Record<string, number> =>
  Object.fromEntries(Object.entries(found).map(([name, { scale }]) => [name, scale]));

test('what is concatenated takes the scale of the whole, and is copied exactly', () => {
  const join = { kind: 'Concat', inputs: ['a', 'b'], output: 'y' } as const;
  const found = aligned({ a: 0.5, b: 2, y: 2 }, [join]);
  // a: 0.5² + 2² before, 2² after, all of it relative to y.
  assert.deepEqual(scalesOf(found), { a: 2, b: 2, y: 2 });
  assert.ok(Object.values(found).every(({ zeroPoint }) => zeroPoint === 7));
});

test('an input of a concatenation that a layer reads as well keeps its own scale where that serves more', () => {
  const join = { kind: 'Concat', inputs: ['a', 'b'], output: 'y' } as const;
  // a: (0.5 / 0.5)² + (2 / 2)² = 2 before, (2 / 0.5)² = 16 after.
  const found = aligned({ a: 0.5, b: 2, y: 2 }, [join], { read: ['a'] });
  assert.deepEqual(scalesOf(found), { a: 0.5, b: 2, y: 2 });
});

test('a sum is exact where that costs less than rounding it', () => {
  const join = { kind: 'Add', inputs: ['a', 'b'], output: 'y' } as const;
  // Relative to y: 0.64 + 0.81 + 1 before, 1 + 1 after.
  assert.deepEqual(scalesOf(aligned({ a: 0.75, b: 0.875, y: 1 }, [join])), { a: 1, b: 1, y: 1 });
  // 0.06 + 0.06 + 1 before, 1 + 1 after.
  const fine = { a: 0.25, b: 0.25, y: 1 };
  assert.deepEqual(scalesOf(aligned(fine, [join])), fine);
});

test('a residual stream is aligned in parts that are alike in size', () => {
  const joins = [
    { kind: 'Add', inputs: ['a1', 'y0'], output: 'y1' },
    { kind: 'Add', inputs: ['a2', 'y1'], output: 'y2' },
    { kind: 'Add', inputs: ['a3', 'y2'], output: 'y3' },
  ] as const;
  const scales = { y0: 1, a1: 1, y1: 1, a2: 1, y2: 8, a3: 7.5, y3: 8 };
  const found = scalesOf(aligned(scales, joins, { read: ['y0', 'y1', 'y2'] }));
  assert.deepEqual(found, { y0: 1, a1: 1, y1: 1, a2: 1, y2: 8, a3: 8, y3: 8 });
});

test('tensors of one source keep one scale', () => {
  const joins = [{ kind: 'Concat', inputs: ['pooled', 'b'], output: 'y' }] as const;
  const found = aligned({ a: 1, pooled: 1, b: 2, y: 2 }, joins, { shared: { pooled: 'a' } });
  assert.deepEqual(scalesOf(found), { a: 2, pooled: 2, b: 2, y: 2 });
});

test('the bound of a Clip is never passed', () => {
  const joins = [{ kind: 'Concat', inputs: ['a', 'b'], output: 'y' }] as const;
  const scales = { a: 6 / 255, b: 0.125, y: 0.125 };
  assert.deepEqual(scalesOf(aligned(scales, joins, { bounds: { a: 6 } })), {
    ...scales,
    a: Math.fround(6 / 255),
  });
});
