import { OnnxError } from '../diagnostics/errors.ts';
import { checkShapes } from './check-shapes.ts';
import { checkBiases } from './check-weights.ts';
import { innerReads, shownNode, sortNodes } from './graph-edit.ts';
import { graphOf, type OnnxGraph, type OnnxModel } from './model.ts';
import { badTensor, isFloatTensor, viewFloats } from './tensor-data.ts';

/** onnxruntime 1.30 runs more, but below 7 operators differ too much and above 22 nothing was tried. */
const SUPPORTED_OPSETS = { min: 7, max: 22 } as const;
/** onnxruntime 1.30 refuses IR version 14. */
const MAX_IR_VERSION = 13;
const KNOWN_DOMAINS = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft']);

/**
 * Verifies that a model is one this project can work on: versions, domains, single assignment,
 * every tensor made before it is read, weights complete, finite and of the sizes that go together.
 * @throws OnnxError naming the node or tensor
 */
export function checkModel(model: OnnxModel, shownName: string): void {
  checkVersions(model, shownName);
  const graph = graphOf(model);
  checkGraph(graph, shownName, functionDomains(model));
  checkFinite(graph, shownName);
  checkShapes(graph, shownName);
  checkBiases(graph, shownName);
}

/**
 * Verifies that all weights are complete and finite; constants that nothing computes products with may be
 * infinite, as the value that a max pool's Pad fills in or the bound of a Clip, and those that branches
 * alone read.
 * @throws OnnxError `onnx/bad-tensor`
 */
export function checkFinite(graph: OnnxGraph, shownName: string): void {
  for (const tensor of graph.initializer) {
    if (!isFloatTensor(tensor)) continue;
    const values = viewFloats(tensor);
    if (areFinite(values)) continue;
    const readers = graph.node.filter(
      (node) => node.input.includes(tensor.name) || innerReads(node).includes(tensor.name),
    );
    const mayBeInfinite = readers.every(
      ({ opType, input }) => TAKING_INFINITY.has(opType) || !input.includes(tensor.name),
    );
    const isBad = mayBeInfinite ? Number.isNaN : (value: number) => !Number.isFinite(value);
    const bad = readers.length === 0 ? -1 : values.findIndex(isBad);
    if (bad === -1) continue;
    throw badTensor(tensor, `of ${shownName} holds NaN or infinity at index ${bad}`);
  }
}

/** Operators that compare, choose, copy or add; of the others infinity makes NaN, or nothing useful. */
const TAKING_INFINITY = new Set(
  (
    'Pad Clip Where Max Min Add Sub Less LessOrEqual Greater GreaterOrEqual Equal Expand Reshape Concat ' +
    'Identity Unsqueeze Squeeze Slice Split Tile Gather GatherND GatherElements ScatterND ScatterElements ' +
    'Transpose Flatten Cast Trilu ReduceMax ReduceMin'
  ).split(' '),
);

/** 0 times NaN or infinity is NaN, and so is every sum with it; four sums do not wait for each other. */
function areFinite(values: Readonly<Float32Array>): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += 0 * values[i]!; // i + 3 < length
    b += 0 * values[i + 1]!;
    c += 0 * values[i + 2]!;
    d += 0 * values[i + 3]!;
  }
  for (let i = whole; i < values.length; i += 1) a += 0 * values[i]!; // i < length
  return a + b + c + d === 0;
}

/** Version of the default operator set. */
export function opsetOf(model: OnnxModel): number {
  const entry = model.opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx');
  return entry === undefined ? 1 : Number(entry.version);
}

function checkVersions(model: OnnxModel, shownName: string): void {
  const irVersion = Number(model.irVersion);
  if (irVersion < 1 || irVersion > MAX_IR_VERSION) {
    throw new OnnxError({
      code: 'onnx/unsupported-ir-version',
      message: `${shownName} has IR version ${irVersion}, expected 1 to ${MAX_IR_VERSION}`,
      hint: 'export the model for an older onnx version (IR version 8 suits opset 17)',
    });
  }
  const opset = opsetOf(model);
  const { min, max } = SUPPORTED_OPSETS;
  if (opset < min || opset > max) {
    throw new OnnxError({
      code: 'onnx/unsupported-opset',
      message: `${shownName} uses opset ${opset}, expected ${min} to ${max}`,
      hint: 'export the model again with opset 17',
    });
  }
}

/**
 * Verifies that every tensor has one maker and is made before it is read, in time linear in the graph.
 * `functionDomains`: of functions that come with the model.
 * @throws OnnxError naming the node and the tensor
 */
export function checkGraph(
  graph: OnnxGraph,
  shownName: string,
  functionDomains: ReadonlySet<string> = new Set(),
): void {
  const defined = new Set<string>(['']);
  for (const [what, values] of [
    ['inputs', graph.input],
    ['initializers', graph.initializer],
  ] as const) {
    const name = firstDuplicate(values);
    if (name !== undefined) throw duplicate(`${shownName} has two ${what}`, name);
    for (const value of values) defined.add(value.name);
  }
  for (const { values } of graph.sparseInitializer) if (values) defined.add(values.name);
  const made = new Set(graph.node.flatMap((node) => node.output));
  for (const node of graph.node) {
    const place = `${shownName}: node "${shownNode(node)}" (${node.opType})`;
    if (!KNOWN_DOMAINS.has(node.domain) && !functionDomains.has(node.domain)) {
      throw new OnnxError({
        code: 'onnx/unknown-domain',
        message: `${place} belongs to the operator domain "${node.domain}", which onnxruntime does not have`,
        hint: 'export the model with standard ONNX operators only',
      });
    }
    for (const input of [...node.input, ...innerReads(node)]) {
      if (defined.has(input)) continue;
      // A cycle has a message of its own.
      if (made.has(input)) sortNodes({ ...graph, node: [...graph.node] });
      throw new OnnxError({
        code: 'onnx/undefined-tensor',
        message: made.has(input)
          ? `${place} reads tensor "${input}" before it is made: the nodes are not in topological order`
          : `${place} reads tensor "${input}", which nothing makes`,
        hint: 'export the model again; the graph is damaged',
      });
    }
    for (const output of node.output) {
      if (output === '') continue;
      if (defined.has(output)) {
        throw duplicate(`${place} makes a tensor that exists already`, output);
      }
      defined.add(output);
    }
  }
  for (const { name } of graph.output) {
    if (defined.has(name)) continue;
    throw new OnnxError({
      code: 'onnx/undefined-tensor',
      message: `${shownName}: nothing makes the graph's output "${name}"`,
      hint: 'export the model again; the graph is damaged',
    });
  }
}

/** Domains of functions that the model brings along. */
export function functionDomains({ functions }: OnnxModel): ReadonlySet<string> {
  return new Set(functions.map(({ domain }) => domain));
}

function firstDuplicate(values: readonly { readonly name: string }[]): string | undefined {
  const seen = new Set<string>();
  return values.find(({ name }) => seen.size === seen.add(name).size)?.name;
}

function duplicate(what: string, name: string): OnnxError {
  return new OnnxError({
    code: 'onnx/duplicate-tensor',
    message: `${what}: "${name}"`,
    hint: 'every tensor of an ONNX graph has one maker; export the model again',
  });
}
