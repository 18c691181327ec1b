import { UsageError } from '../diagnostics/errors.ts';
import { shortenList } from '../diagnostics/shorten-list.ts';
import { nameHint } from '../diagnostics/nearest-name.ts';
import { shownNode } from '../onnx/graph-edit.ts';
import { graphOf, type OnnxGraph } from '../onnx/model.ts';
import type { ReadModel } from '../onnx/reader.ts';
import type { CalibrationTable } from './calibration-table.ts';
import { markGraph } from './mark-graph.ts';
import { prepareModel } from './prepare-model.ts';

/** What was given with names of the model in it. */
export interface GivenNames {
  /** Nodes that shall stay float. */
  readonly exclude?: readonly string[];
  readonly ranges?: CalibrationTable['tensors'];
}

/**
 * Verifies names against the model before anything is done with it; reads it only where there are any.
 * `called` words what they were given as: `exclude` → `the option "exclude"`.
 * @throws UsageError `quantize/unknown-node`, `quantize/unknown-tensor`, `quantize/missing-range`
 */
export async function requireNames(
  readModel: ReadModel,
  { exclude = [], ranges }: GivenNames,
  called: (name: keyof GivenNames) => string,
): Promise<void> {
  if (exclude.length === 0 && ranges === undefined) return;
  const model = await readModel();
  const graphs = { given: graphOf(model), prepared: graphOf(prepareModel(model)) };
  requireNodes(graphs, exclude, called('exclude'));
  if (ranges !== undefined) requireRanges(graphs, { exclude, ranges }, called('ranges'));
}

/** A model as it was given, and in the form that is quantized. */
interface Graphs {
  readonly given: OnnxGraph;
  readonly prepared: OnnxGraph;
}

function requireNodes({ given, prepared }: Graphs, names: readonly string[], called: string): void {
  const own = new Set(given.node.map(shownNode));
  const known = new Set(prepared.node.map(shownNode));
  const missing = names.filter((name) => !known.has(name));
  const [first] = missing;
  if (first === undefined) return;
  const both = [...known].filter((name) => own.has(name));
  const maker = prepared.node.find(({ output }) => first !== '' && output.includes(first));
  const hint = own.has(first)
    ? `"${first}" is computed as a part of others, as batch norms are: exclude the layer beside it`
    : maker !== undefined
      ? `"${first}" is a tensor, which "${shownNode(maker)}" makes: give the name of the node`
      : nameHint(first, both.length === 0 ? known : both); // of those that nobody was given
  throw new UsageError({
    code: 'quantize/unknown-node',
    message: `${called} names what is no node of the model as it is quantized: ${listed(missing)}`,
    hint: hint ?? howToName(prepared),
  });
}

/** With one of its own nodes for an example, where some have no name. */
function howToName({ node }: OnnxGraph): string {
  const names = 'give names of nodes, as a viewer of ONNX models shows them';
  const unnamed = node.find(({ name }) => name === '');
  if (unnamed === undefined) return names;
  return `${names}, or of nodes without a name their operator and first output, such as "${shownNode(unnamed)}"`;
}

function requireRanges(
  { given, prepared }: Graphs,
  { exclude, ranges }: Required<GivenNames>,
  called: string,
): void {
  const known = new Set([given, prepared].flatMap(tensorsOf));
  const unknown = Object.keys(ranges).filter((name) => !known.has(name));
  const [first] = unknown;
  if (first !== undefined) {
    throw new UsageError({
      code: 'quantize/unknown-tensor',
      message: `${called} has what is no tensor of the model: ${listed(unknown)}`,
      hint: nameHint(first, tensorsOf(prepared)) ?? CALIBRATE,
    });
  }
  const inputs = new Set(prepared.input.map(({ name }) => name)); // where they are pixels they need none
  const needed = [...markGraph(prepared, new Set(exclude)).tensors.values()];
  const sources = new Set(needed.map(({ source }) => source));
  const missing = [...sources].filter((name) => !inputs.has(name) && !Object.hasOwn(ranges, name));
  if (missing.length === 0) return;
  throw new UsageError({
    code: 'quantize/missing-range',
    message: `${called} has no range for ${listed(missing)}`,
    hint: CALIBRATE,
  });
}

const CALIBRATE = 'give what calibrateModel found for the same model';

function tensorsOf({ input, node }: OnnxGraph): string[] {
  return [...input.map(({ name }) => name), ...node.flatMap(({ output }) => output)];
}

/** The first few of many. */
function listed(names: readonly string[]): string {
  return shortenList(
    names.map((name) => `"${name}"`),
    5,
  );
}
