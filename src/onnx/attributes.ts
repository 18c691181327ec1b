import type { Initializer, OnnxAttribute, OnnxNode } from './model.ts';

/** Attribute `name` of `node`, or undefined when it is not set. */
export function attributeOf(node: OnnxNode, name: string): OnnxAttribute | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

export function integerOf(node: OnnxNode, name: string, fallback: number): number {
  const attribute = attributeOf(node, name);
  return attribute === undefined ? fallback : Number(attribute.i);
}

export function integersOf(node: OnnxNode, name: string): number[] | undefined {
  return attributeOf(node, name)?.ints.map(Number);
}

export function floatOf(node: OnnxNode, name: string, fallback: number): number {
  return attributeOf(node, name)?.f ?? fallback;
}

export function stringOf(node: OnnxNode, name: string, fallback: string): string {
  const attribute = attributeOf(node, name);
  return attribute === undefined ? fallback : new TextDecoder().decode(attribute.s);
}

export function tensorOf(node: OnnxNode, name: string): Initializer | undefined {
  return attributeOf(node, name)?.t;
}
