import { isStandard, shownNode, type GraphIndex } from '../onnx/graph-edit.ts';
import type { Initializer, OnnxGraph, OnnxNode } from '../onnx/model.ts';
import { isFloatTensor, viewFloats } from '../onnx/tensor-data.ts';
import { findGelus } from '../onnx/transforms/find-gelus.ts';
import { fusedActivation } from './activation-bounds.ts';
import { feedersOf } from './float-feeders.ts';
import { staysFloat, type Verdict } from './operators/operator.ts';
import { OPERATORS } from './operators/registry.ts';

/** What is decided about a node that is fused into none before it. */
export interface Decision {
  readonly verdict: Verdict;
  /** Tensors that take codes for it, what it reads before what it makes; none where it runs in float. */
  readonly coded: readonly string[];
  /** Whether only nodes that were excluded read what it makes in float. */
  readonly isFeeder?: true;
}

/**
 * Decides which nodes run in integers, in the order of the graph, on which no decision depends: layers
 * with weights do by themselves, and what reads a tensor with codes where it can, until nothing more
 * follows. `excluded` holds names of nodes that shall stay float. Operators without weights that only
 * those read stay float with them: a pool that computes on codes before a float layer would round the
 * layer's whole input and serve nothing. What only moves values loses nothing on codes.
 */
export function decideNodes(
  graph: OnnxGraph,
  index: GraphIndex,
  excluded: ReadonlySet<string>,
): ReadonlyMap<OnnxNode, Decision> {
  const inGelus = new Set(findGelus(graph).flatMap(({ nodes }) => nodes));
  const decisions = new Map(
    graph.node.map((node): [OnnxNode, Decision] => {
      const verdict = inGelus.has(node)
        ? staysFloat('it is part of a GELU, which onnxruntime runs as one float operator')
        : verdictOn(node, index, excluded);
      return [node, { verdict, coded: [] }];
    }),
  );
  const kept = graph.node.filter((node) => isExcluded(node, index, excluded));
  const feeders = feedersOf(kept, index, (node) => decisions.get(node)?.verdict.kind);
  for (const [node, fed] of feeders) {
    const verdict = decisions.get(node)!.verdict; // it has a kind
    const reason = `it only feeds "${shownNode(fed)}", which stays float`;
    decisions.set(node, {
      verdict: verdict.kind === 'shared' ? verdict : staysFloat(reason),
      coded: [],
      isFeeder: true,
    });
  }
  const running = new Set<OnnxNode>();
  const tensors = new Set<string>();
  const run = (node: OnnxNode, verdict: Verdict): void => {
    if (running.has(node)) return;
    running.add(node);
    const activation = verdict.kind === 'shared' ? undefined : fusedActivation(node, index);
    const coded = codedBy(node, activation, verdict, index);
    if (activation !== undefined) decisions.delete(activation);
    decisions.set(node, { verdict, coded });
    for (const tensor of coded) tensors.add(tensor);
  };
  for (const [node, { verdict }] of decisions) if (verdict.kind === 'weighted') run(node, verdict);
  // The set grows while it is walked.
  for (const tensor of tensors) {
    for (const reader of index.consumers.get(tensor) ?? []) {
      const verdict = decisions.get(reader)?.verdict;
      if (verdict?.kind === 'integer') run(reader, verdict);
      if (verdict?.kind === 'shared' && reader.input[0] === tensor) run(reader, verdict);
    }
  }
  for (const [node, { verdict }] of decisions) {
    if (verdict.kind === 'integer' && !running.has(node))
      decisions.set(node, { verdict: alone(node, index), coded: [] });
  }
  return decisions;
}

/** Of a node that could run in integers, but for its inputs. */
function alone(node: OnnxNode, index: GraphIndex): Verdict {
  return staysFloat(
    node.input.some((input) => index.producers.get(input)?.opType === 'Gemm')
      ? 'its inputs are float: a Gemm gives float results where nothing reads them in integers'
      : 'none of its inputs comes from an operator that runs in integers',
  );
}

function codedBy(
  node: OnnxNode,
  activation: OnnxNode | undefined,
  verdict: Verdict,
  { initializers }: GraphIndex,
): readonly string[] {
  switch (verdict.kind) {
    case 'float':
      return [];
    case 'shared':
      return [...node.input.slice(0, 1), ...node.output.filter((output) => output !== '')];
    case 'integer':
    case 'weighted': {
      const inputs =
        verdict.kind === 'weighted'
          ? node.input.slice(0, 1)
          : node.input.filter((input) => !initializers.has(input));
      // The readers of a Gemm ask for it when they run in integers; a convolution needs it to fuse at all.
      const isFloat =
        verdict.kind === 'weighted' && verdict.floatOutput && activation === undefined;
      return isFloat ? inputs : [...inputs, ...(activation ?? node).output.slice(0, 1)];
    }
  }
}

/** onnxruntime adds in float32, where the codes of other values would be lost beside larger ones. */
const LARGEST_OPERAND = 1e5;

function hasCodes(operand: Initializer): boolean {
  return viewFloats(operand).every((value) => Math.abs(value) <= LARGEST_OPERAND);
}

function isExcluded(node: OnnxNode, index: GraphIndex, excluded: ReadonlySet<string>): boolean {
  const activation = fusedActivation(node, index);
  return [node, ...(activation === undefined ? [] : [activation])].some((one) =>
    excluded.has(shownNode(one)),
  );
}

function verdictOn(node: OnnxNode, index: GraphIndex, excluded: ReadonlySet<string>): Verdict {
  if (excluded.has(shownNode(node))) return staysFloat('it was excluded by parameter');
  const mark = Object.hasOwn(OPERATORS, node.opType) ? OPERATORS[node.opType] : undefined;
  if (mark === undefined || !isStandard(node))
    return staysFloat('onnxruntime has no integer form of it on the CPU');
  const verdict = mark(node, index);
  if (verdict.kind !== 'weighted' && verdict.kind !== 'integer') return verdict;
  const activation = fusedActivation(node, index);
  if (activation !== undefined && excluded.has(shownNode(activation)))
    return staysFloat(`its activation "${shownNode(activation)}" was excluded by parameter`);
  if (verdict.kind === 'weighted') return verdict;
  const operands = node.input.filter((input) => input !== '');
  const constantOperands = operands.map((name) => index.initializers.get(name));
  if (constantOperands.some((tensor) => tensor !== undefined && !isFloatTensor(tensor)))
    return staysFloat('an operand is not float32');
  if (constantOperands.some((tensor) => tensor !== undefined && !hasCodes(tensor)))
    return staysFloat(`an operand holds values beyond ${LARGEST_OPERAND}, as masks do`);
  return verdict;
}
