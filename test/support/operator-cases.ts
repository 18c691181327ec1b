import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTensor, type NodeSpec } from '../../src/onnx/build.ts';
import { graphOf, type Initializer } from '../../src/onnx/model.ts';
import { nodeSpec, normalTensor, normalValues, quantizeOne, smallModel } from './quantize-one.ts';

export interface OperatorCase {
  readonly name: string;
  readonly nodes: readonly NodeSpec[];
  readonly tensors?: readonly Initializer[];
  readonly input?: readonly number[];
  /** Operators of the optimised graph that must be there, with their number. */
  readonly fused: Readonly<Record<string, number>>;
  readonly opset?: number;
}

export const weights = (name: string, dims: readonly number[], deviation = 0.2): Initializer =>
  normalTensor(name, dims, deviation);
export const integers = (name: string, values: readonly number[]): Initializer =>
  makeTensor(name, [values.length], BigInt64Array.from(values, BigInt));
export const scalar = (name: string, value: number): Initializer =>
  makeTensor(name, [], Float32Array.of(value));

/** A convolution before the operator under test, as networks have it. */
export const conv = (output = 'c', input = 'input'): NodeSpec =>
  nodeSpec('Conv', [input, `${output}_w`, `${output}_b`], output, { pads: [1, 1, 1, 1] });
export const convTensors = (output = 'c'): Initializer[] => [
  weights(`${output}_w`, [16, 16, 3, 3], 0.1),
  weights(`${output}_b`, [16]),
];

export const CONV = 'com.microsoft.QLinearConv';

/** Each runs in integers, and follows float and the unfused graph. */
export function checkOperators(cases: readonly OperatorCase[]): void {
  for (const { name, nodes, tensors, input = [1, 16, 9, 9], fused, opset } of cases) {
    test(`${name}: runs in integers and follows float and unfused QDQ`, async (t) => {
      const model = smallModel({
        nodes,
        input,
        output: 'y',
        ...(tensors === undefined ? {} : { tensors }),
        ...(opset === undefined ? {} : { opset }),
      });
      const values = normalValues(
        'input',
        input.reduce((a, b) => a * b, 1),
      );
      const result = await quantizeOne(t, model, values);

      const operators = graphOf(result.model).node.map(({ opType }) => opType);
      assert.ok(operators.includes('QuantizeLinear') && operators.includes('DequantizeLinear'));
      assert.deepEqual(result.optimized.floatNodes, []);
      const counts = Object.entries(result.optimized.operators);
      for (const [operator, count] of Object.entries(fused)) {
        // QLinearConv and QLinearMatMul stand in the standard domain until layout changes move them.
        const plain = operator.replace('com.microsoft.', '');
        const found = counts.filter(([key]) => key.replace('com.microsoft.', '') === plain);
        assert.equal(
          found.reduce((sum, [, n]) => sum + n, 0),
          count,
          `${operator} in ${JSON.stringify(result.optimized.operators)}`,
        );
      }

      const floatOutput = result.float['y']!;
      const range = Math.max(...floatOutput) - Math.min(...floatOutput, 0);
      const quantum = result.plan.activations.get('y')?.scale ?? range / 255;
      for (const [i, reference] of floatOutput.entries()) {
        const fusedValue = result.fused['y']![i]!;
        // A fused graph differs from the unfused one by at most one code of the output.
        assert.ok(
          Math.abs(fusedValue - result.unfused['y']![i]!) <= quantum * 1.01,
          `${name} at ${i}`,
        );
        // Noise of input and weights: a few codes.
        assert.ok(
          Math.abs(fusedValue - reference) <= range * 0.04,
          `${name} at ${i}: ${fusedValue}`,
        );
      }
    });
  }
}
