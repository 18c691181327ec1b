import { integerOf, integersOf, stringOf } from './attributes.ts';
import type { ConstantValue } from './constant-value.ts';
import type { OnnxNode } from './model.ts';
import type { Shape } from './shape-inference.ts';

/**
 * Output shapes of operators that pick, place or count values, as attention and exported indexing have
 * them, and of transposed convolutions; undefined for other operators. From the ONNX operator
 * specifications.
 */
export function indexingShapes(
  node: OnnxNode,
  shape: Shape,
  second: Shape | undefined,
  valueOf: (tensor: string) => ConstantValue | undefined,
): (Shape | undefined)[] | undefined {
  const axisOf = (otherwise: number): number => {
    const axis = integerOf(node, 'axis', otherwise);
    return axis < 0 ? axis + shape.length : axis;
  };
  switch (node.opType) {
    case 'Gather': {
      const axis = axisOf(0);
      return [second && [...shape.slice(0, axis), ...second, ...shape.slice(axis + 1)]];
    }
    case 'GatherElements':
      return [second];
    case 'GatherND': {
      // The last axis of the indices [B…, I…, n] says where in n axes of the data behind the batch's.
      const depth = second?.at(-1) ?? NaN;
      if (second === undefined || Number.isNaN(depth)) return [undefined];
      return [[...second.slice(0, -1), ...shape.slice(integerOf(node, 'batch_dims', 0) + depth)]];
    }
    case 'ArgMax':
    case 'ArgMin': {
      const axis = axisOf(0);
      return [
        integerOf(node, 'keepdims', 1) === 0
          ? shape.filter((_, i) => i !== axis)
          : shape.map((size, i) => (i === axis ? 1 : size)),
      ];
    }
    case 'TopK': {
      const axis = axisOf(-1);
      const kept = valueOf(node.input[1] ?? '')?.data[0] ?? NaN;
      const sizes = shape.map((size, i) => (i === axis ? kept : size));
      return [sizes, sizes];
    }
    case 'Range':
      return [[NaN]];
    case 'NonZero':
      return [[shape.length, NaN]];
    case 'ConstantOfShape': {
      const sizes = valueOf(node.input[0] ?? '');
      return [sizes && [...sizes.data]];
    }
    case 'ConvTranspose':
      return [second && turnedWindowShape(node, shape, second)];
    default:
      return undefined;
  }
}

/** [N, M, …spatial] of weights [C, M / group, …kernel]. */
function turnedWindowShape(node: OnnxNode, shape: Shape, weights: Shape): Shape {
  const [, channels = NaN, ...kernel] = weights;
  const spatial = shape.slice(2);
  const wanted = integersOf(node, 'output_shape');
  const isPlain = stringOf(node, 'auto_pad', 'NOTSET') === 'NOTSET' && wanted === undefined;
  const each = (name: string, otherwise: number): readonly number[] =>
    integersOf(node, name) ?? spatial.map(() => otherwise);
  const [strides, dilations] = [each('strides', 1), each('dilations', 1)];
  const [extra, pads] = [each('output_padding', 0), integersOf(node, 'pads') ?? []];
  const sizes = spatial.map((size, i) => {
    if (!isPlain) return wanted?.at(i - spatial.length) ?? NaN;
    const reach = (dilations[i] ?? 1) * ((kernel[i] ?? NaN) - 1) + 1;
    const padded = (pads[i] ?? 0) + (pads[i + spatial.length] ?? 0);
    return (size - 1) * (strides[i] ?? 1) + reach + (extra[i] ?? 0) - padded;
  });
  return [shape[0] ?? NaN, channels * integerOf(node, 'group', 1), ...sizes];
}
