import { innerReads, isStandard, type GraphIndex } from '../../onnx/graph-edit.ts';
import type { OnnxNode } from '../../onnx/model.ts';
import { staysFloat, type Verdict } from './operator.ts';

/** Why a layer whose weights or bias are no constant stays float. */
export function isComputed(what: 'weights' | 'bias', tensor: string, index: GraphIndex): Verdict {
  const verb = what === 'weights' ? 'are' : 'is';
  if (index.inputs.has(tensor)) return staysFloat(`its ${what} ${verb} an input of the model`);
  const maker = makerOf(tensor, index);
  return staysFloat(
    maker === undefined
      ? `its ${what} ${verb} computed from the input`
      : `its ${what} ${verb} made in the graph by ${maker}, which is not computed ahead`,
  );
}

/**
 * The operator that keeps what follows from constants alone from being known: the first all of whose
 * inputs are. Undefined where the tensor depends on an input.
 */
function makerOf(
  tensor: string,
  { producers, initializers, inputs }: GraphIndex,
): string | undefined {
  const seen = new Set<OnnxNode>();
  const waiting = [tensor];
  let first: OnnxNode | undefined;
  // What follows is found before it is walked through.
  for (const name of waiting) {
    if (inputs.has(name)) return undefined;
    const node = producers.get(name);
    if (node === undefined || seen.has(node)) continue;
    seen.add(node);
    const read = [...node.input, ...innerReads(node)].filter((input) => input !== '');
    if (read.every((input) => initializers.has(input))) first ??= node;
    waiting.push(...read);
  }
  if (first === undefined) return undefined;
  return isStandard(first) ? first.opType : `${first.domain}.${first.opType}`;
}
