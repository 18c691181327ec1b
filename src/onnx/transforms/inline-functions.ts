import { clone } from '@bufbuild/protobuf';
import { OnnxError } from '../../diagnostics/errors.ts';
import { NodeProtoSchema } from '../generated/onnx_pb.ts';
import { innerGraphs, nameMaker, shownNode } from '../graph-edit.ts';
import {
  graphOf,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
} from '../model.ts';

/** Functions that call others twice, and these again, grow without limit; no classifier comes near it. */
const MAX_NODES = 100_000;

/**
 * Puts the body of each function that the model brings along in place of the nodes that call it, in place
 * (as onnxruntime does). Functions written for another opset than the model's stay calls, which run in float.
 */
export function inlineFunctions(model: OnnxModel): void {
  const graph = graphOf(model);
  const known = new Map(
    model.functions
      .filter((called) => hasOpsetOf(model, called))
      .map((called) => [keyOf(called.name, called), called]),
  );
  if (known.size === 0) return;
  const newName = nameMaker(graph);
  const isCall = (node: OnnxNode): boolean => known.has(keyOf(node.opType, node));
  // A round a level: functions may call each other, but never themselves.
  for (let round = 0; round < known.size && graph.node.some(isCall); round += 1) {
    graph.node = graph.node.flatMap((node) => {
      const called = known.get(keyOf(node.opType, node));
      return called === undefined ? [node] : bodyOf(node, called, newName);
    });
    if (graph.node.length > MAX_NODES) throw tooManyNodes();
  }
  const needed = neededFunctions(model);
  model.functions = model.functions.filter((called) => needed.has(called));
}

/** Those that are called still: by the graph, its branches, or one another. */
function neededFunctions(model: OnnxModel): ReadonlySet<OnnxFunction> {
  const byKey = new Map(model.functions.map((each) => [keyOf(each.name, each), each]));
  const needed = new Set<OnnxFunction>();
  const visit = (nodes: readonly OnnxNode[]): void => {
    for (const node of nodes) {
      for (const inner of innerGraphs(node)) visit(inner.node);
      const called = byKey.get(keyOf(node.opType, node));
      if (called === undefined || needed.has(called)) continue;
      needed.add(called);
      visit(called.node);
    }
  };
  visit(graphOf(model).node);
  return needed;
}

/** What a function is told from others by (FunctionProto in onnx.proto, IR version 10). */
function keyOf(name: string, { domain, overload }: Pick<OnnxNode, 'domain' | 'overload'>): string {
  return JSON.stringify([domain, name, overload]);
}

function tooManyNodes(): OnnxError {
  return new OnnxError({
    code: 'onnx/too-many-nodes',
    message: `the functions of the model make more than ${MAX_NODES} nodes of its graph`,
    hint: 'export the model without functions',
  });
}

function hasOpsetOf(model: OnnxModel, called: OnnxFunction): boolean {
  const versions = new Map(model.opsetImport.map(({ domain, version }) => [domain, version]));
  return called.opsetImport.every(({ domain, version }) => {
    const own = versions.get(domain);
    return own === undefined || own === version;
  });
}

function bodyOf(
  call: OnnxNode,
  called: OnnxFunction,
  newName: (wanted: string) => string,
): OnnxNode[] {
  const names = new Map<string, string>();
  const prefix = shownNode(call);
  for (const [i, name] of called.input.entries()) names.set(name, call.input[i] ?? '');
  for (const [i, name] of called.output.entries()) {
    const given = call.output[i] ?? '';
    names.set(name, given === '' ? newName(`${prefix}/${name}`) : given);
  }
  for (const { output } of called.node) {
    for (const name of output) {
      if (name !== '' && !names.has(name)) names.set(name, newName(`${prefix}/${name}`));
    }
  }
  const given = new Map(
    [...called.attributeProto, ...call.attribute].map((attribute) => [attribute.name, attribute]),
  );
  return called.node.map((inner) => {
    const node = clone(NodeProtoSchema, inner);
    node.name = newName(`${prefix}/${inner.name === '' ? inner.opType : inner.name}`);
    fillIn(node, names, given);
    return node;
  });
}

/** Gives the node the caller's tensors and attributes, and so the nodes of graphs inside it. */
function fillIn(
  node: OnnxNode,
  names: ReadonlyMap<string, string>,
  given: ReadonlyMap<string, OnnxNode['attribute'][number]>,
): void {
  const renamed = (name: string): string => names.get(name) ?? name;
  node.input = node.input.map(renamed);
  node.output = node.output.map(renamed);
  node.attribute = node.attribute.flatMap((attribute) => {
    if (attribute.refAttrName === '') return [attribute];
    const value = given.get(attribute.refAttrName);
    return value === undefined ? [] : [{ ...value, name: attribute.name }];
  });
  const inside = node.attribute.flatMap(({ g, graphs }): OnnxGraph[] =>
    g === undefined ? graphs : [g, ...graphs],
  );
  for (const graph of inside) {
    for (const inner of graph.node) fillIn(inner, names, given);
    for (const output of graph.output) output.name = renamed(output.name);
  }
}
