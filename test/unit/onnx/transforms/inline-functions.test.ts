import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { makeAttribute, makeNode } from '../../../../src/onnx/build.ts';
import {
  FunctionProtoSchema,
  OperatorSetIdProtoSchema,
} from '../../../../src/onnx/generated/onnx_pb.ts';
import { floatOf } from '../../../../src/onnx/attributes.ts';
import { graphOf, type OnnxFunction, type OnnxModel } from '../../../../src/onnx/model.ts';
import { inlineFunctions } from '../../../../src/onnx/transforms/inline-functions.ts';
import { smallModel } from '../../../support/quantize-one.ts';

function modelCalling(name: string, functions: (model: OnnxModel) => OnnxFunction[]): OnnxModel {
  const model = smallModel({
    input: [1, 4],
    output: 'y',
    nodes: [{ opType: name, name: 'call', inputs: ['input'], outputs: ['y'], domain: 'local' }],
  });
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'local', version: 1n }));
  model.functions = functions(model);
  return model;
}

/** f(x) = g(g(x)), so that each level doubles the nodes. */
function twice(name: string, inner: string, { opsetImport }: OnnxModel): OnnxFunction {
  const domain = inner === 'Relu' ? {} : { domain: 'local' };
  const call = (from: string, to: string) =>
    makeNode({ opType: inner, name: '', inputs: [from], outputs: [to], ...domain });
  return create(FunctionProtoSchema, {
    ...{ name, domain: 'local', opsetImport, input: ['x'], output: ['z'] },
    node: [call('x', 'between'), call('between', 'z')],
  });
}

test('names of a body are kept apart from call to call', () => {
  const model = modelCalling('F1', (m) => [twice('F1', 'F0', m), twice('F0', 'Relu', m)]);
  inlineFunctions(model);
  const { node } = graphOf(model);
  assert.deepEqual(
    node.map(({ opType }) => opType),
    ['Relu', 'Relu', 'Relu', 'Relu'],
  );
  const chain = node.map(({ input, output }) => [input[0], output[0]]);
  assert.equal(chain[0]?.[0], 'input');
  assert.equal(chain[3]?.[1], 'y');
  for (const [i, [from]] of chain.slice(1).entries()) assert.equal(from, chain[i]?.[1]);
  assert.equal(new Set(node.map(({ name }) => name)).size, 4);
  assert.deepEqual(model.functions, []);
});

test('attributes come from the call, else from the function’s defaults, else the operator’s', () => {
  const alphaOf = (given: boolean, hasDefault: boolean): number => {
    const model = modelCalling('Leaky', ({ opsetImport }) => {
      const leaky = makeNode({ opType: 'LeakyRelu', name: 'l', inputs: ['x'], outputs: ['z'] });
      const reference = makeAttribute('alpha', { float: 0 });
      reference.refAttrName = 'slope';
      leaky.attribute.push(reference);
      return [
        create(FunctionProtoSchema, {
          ...{ name: 'Leaky', domain: 'local', opsetImport, input: ['x'], output: ['z'] },
          node: [leaky],
          attributeProto: hasDefault ? [makeAttribute('slope', { float: 0.25 })] : [],
        }),
      ];
    });
    const [call] = graphOf(model).node;
    if (given) call!.attribute.push(makeAttribute('slope', { float: 0.5 }));
    inlineFunctions(model);
    return floatOf(graphOf(model).node[0]!, 'alpha', 0.01);
  };
  assert.deepEqual(
    [alphaOf(true, true), alphaOf(false, true), alphaOf(false, false)],
    [0.5, 0.25, 0.01],
  );
});

test('a call takes the function of its own overload', () => {
  const kindOf = (overload: string): string | undefined => {
    const model = modelCalling('Act', ({ opsetImport }) =>
      ['Relu', 'Neg'].map((opType) =>
        create(FunctionProtoSchema, {
          ...{ name: 'Act', domain: 'local', overload: opType.toLowerCase(), opsetImport },
          ...{ input: ['x'], output: ['z'] },
          node: [makeNode({ opType, name: '', inputs: ['x'], outputs: ['z'] })],
        }),
      ),
    );
    graphOf(model).node[0]!.overload = overload;
    inlineFunctions(model);
    assert.equal(model.functions.length, 0);
    return graphOf(model).node[0]?.opType;
  };
  assert.deepEqual([kindOf('relu'), kindOf('neg')], ['Relu', 'Neg']);
});

test('functions that call themselves or grow without limit end', () => {
  const endless = modelCalling('F0', (m) => [twice('F0', 'F0', m)]);
  inlineFunctions(endless);
  assert.ok(graphOf(endless).node.length <= 4);
  const growing = modelCalling('F40', (m) =>
    Array.from({ length: 41 }, (_, i) => twice(`F${i}`, i === 0 ? 'Relu' : `F${i - 1}`, m)),
  );
  assert.throws(() => inlineFunctions(growing), { code: 'onnx/too-many-nodes' });
});
