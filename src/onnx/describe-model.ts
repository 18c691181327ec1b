import { opsetOf } from './check.ts';
import { graphOf, type OnnxModel, type ValueInfo } from './model.ts';
import { TensorProto_DataType as DataType } from './generated/onnx_pb.ts';
import { elementCount } from './tensor-data.ts';

const INT64: number = DataType.INT64;

export interface ModelDescription {
  readonly opset: number;
  readonly irVersion: number;
  /** Operator → how many nodes, most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  /** Elements of all initializers but single values and int64, which are shapes and indices. */
  readonly parameterCount: number;
  /** Name → dimensions; a dynamic one is its name or `?`. */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, readonly (number | string)[]>>;
}

/** What a person wants to know of a model before using it. */
export function describeModel(model: OnnxModel): ModelDescription {
  const graph = graphOf(model);
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter(({ name }) => !initializers.has(name));
  return {
    opset: opsetOf(model),
    irVersion: Number(model.irVersion),
    operators: countOperators(model),
    parameterCount: graph.initializer
      .filter((tensor) => tensor.dims.length > 0 && tensor.dataType !== INT64)
      .reduce((sum, tensor) => sum + elementCount(tensor), 0),
    inputs: shapes(inputs),
    outputs: shapes(graph.output),
  };
}

/** Operator → count, most frequent first; other domains than the default are named. */
export function countOperators(model: OnnxModel): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { opType, domain } of graphOf(model).node) {
    const key = domain === '' || domain === 'ai.onnx' ? opType : `${domain}.${opType}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

function shapes(values: readonly ValueInfo[]): Record<string, (number | string)[]> {
  return Object.fromEntries(values.map((value) => [value.name, dimsOfValue(value)]));
}

function dimsOfValue({ type }: ValueInfo): (number | string)[] {
  if (type?.value.case !== 'tensorType') return [];
  return (type.value.value.shape?.dim ?? []).map(({ value }) => {
    if (value.case === 'dimValue') return Number(value.value);
    return value.case === 'dimParam' ? value.value : '?';
  });
}
