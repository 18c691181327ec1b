import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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
          {
            ...{ source: shared[name] ?? name, low: 0, high: bounds[name] ?? Infinity },
            read: { low: -Infinity, high: Infinity },
          },
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

interface Shared {
  readonly kind: Join['kind'];
  readonly sources: readonly string[];
  readonly output: string;
}

/** The search as the text has it: every change is judged by the cost of all tensors. */
function alignedByAll(scales: Readonly<Record<string, number>>, joins: readonly Join[]) {
  const names = Object.keys(scales);
  const links = joins.flatMap(({ kind, inputs, output }): Shared[] =>
    kind === 'Add'
      ? [{ kind, sources: [...inputs, output], output }]
      : inputs.map((input) => ({ kind, sources: [input, output], output })),
  );
  const sizeOf = (name: string): number =>
    Math.min(
      ...links
        .filter(({ sources, output }) => sources.includes(name) && output !== name)
        .map(({ output }) => scales[output]!),
    );
  const sizes = new Map(names.map((name) => [name, sizeOf(name)]));
  const sizeBehind = (name: string): number =>
    sizes.get(name) === Infinity ? scales[name]! : sizes.get(name)!;
  const outcomeOf = (inForce: readonly boolean[]) => {
    const groups = new Map(names.map((name) => [name, [name]]));
    for (const [i, { sources }] of links.entries()) {
      if (inForce[i] !== true) continue;
      const all = [...new Set(sources.flatMap((source) => groups.get(source)!))];
      for (const name of all) groups.set(name, all);
    }
    const found = new Map(
      names.map((name) => [name, Math.max(...groups.get(name)!.map((other) => scales[other]!))]),
    );
    const errorOf = (name: string): number => (found.get(name)! / sizeBehind(name)) ** 2;
    let cost = 0;
    for (const [i, { kind, output }] of links.entries())
      if (kind === 'Concat' && inForce[i] !== true) cost += errorOf(output);
    for (const name of names) {
      const into = links.flatMap(({ kind, output }, i) =>
        output === name ? [kind === 'Concat' || inForce[i] === true] : [],
      );
      if (!into.includes(true)) cost += errorOf(name);
    }
    return { cost, found };
  };
  const outcomes = [false, true].map((start) => {
    const inForce = links.map(() => start);
    let best = outcomeOf(inForce);
    for (let isBetter = true; isBetter;) {
      isBetter = false;
      for (const i of inForce.keys()) {
        inForce[i] = !inForce[i];
        const changed = outcomeOf(inForce);
        if (changed.cost < best.cost) [best, isBetter] = [changed, true];
        else inForce[i] = !inForce[i];
      }
    }
    return best;
  });
  const [none, all] = outcomes as [(typeof outcomes)[0], (typeof outcomes)[0]]; // one a start
  return Object.fromEntries((all.cost < none.cost ? all : none).found);
}

test('looking at what a change touches finds what looking at everything finds', () => {
  // Each tensor after the first two joins the one before it, so that all are searched together, and another.
  const made = fc.record({
    kind: fc.constantFrom('Add' as const, 'Concat' as const),
    other: fc.nat(),
    scale: fc.double({ min: 0.01, max: 1, noNaN: true }).map(Math.fround),
  });
  fc.assert(
    fc.property(fc.array(made, { minLength: 1, maxLength: 9 }), (steps) => {
      const scales: Record<string, number> = { t0: Math.fround(0.1), t1: Math.fround(0.3) };
      const joins = steps.map(({ kind, other, scale }, i): Join => {
        scales[`t${i + 2}`] = scale;
        return { kind, inputs: [`t${i + 1}`, `t${other % (i + 2)}`], output: `t${i + 2}` };
      });
      assert.deepEqual(scalesOf(aligned(scales, joins)), alignedByAll(scales, joins));
    }),
    { seed: 7, numRuns: 300 }, // sums of other orders could round to another choice
  );
});

test('the time of a long stream of sums grows with its length', () => {
  const timeOf = (count: number): number => {
    const scales: Record<string, number> = { s0: 0.02 };
    const joins = Array.from({ length: count }, (_, i): Join => {
      scales[`b${i}`] = 0.01 + 0.01 * (((i * 7) % 11) / 11);
      scales[`s${i + 1}`] = 0.02 + 0.002 * i * ((i * 13) % 5);
      return { kind: 'Add', inputs: [`s${i}`, `b${i}`], output: `s${i + 1}` };
    });
    const read = Object.keys(scales).filter((name) => name.startsWith('s'));
    const times = [1, 2].map(() => {
      const started = process.cpuUsage();
      aligned(scales, joins, { read });
      return process.cpuUsage(started).user;
    });
    return Math.min(...times);
  };
  // Four times the sums: three times the time as it is, sixteen where each change looks at all of them.
  const [short, long] = [timeOf(1000), timeOf(4000)];
  assert.ok(long < 9 * short, `${short} and ${long} µs`);
});
