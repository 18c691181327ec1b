import { makeAttribute } from './build.ts';
import type { Initializer, OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode } from './model.ts';

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

/** The model's graph and all graphs inside it: branches of If, bodies of Loop and Scan. */
export function graphsOf(model: OnnxModel): OnnxGraph[] {
  const found = model.graph === undefined ? [] : [model.graph];
  // The list grows while it is walked.
  for (const graph of found) {
    for (const { g, graphs } of graph.node.flatMap(({ attribute }) => attribute)) {
      found.push(...(g === undefined ? graphs : [g, ...graphs]));
    }
  }
  return found;
}

export function setInteger(node: OnnxNode, name: string, value: number): void {
  setAttribute(node, makeAttribute(name, value));
}

export function setIntegers(node: OnnxNode, name: string, values: readonly number[]): void {
  setAttribute(node, makeAttribute(name, values));
}

export function removeAttributes(node: OnnxNode, ...names: readonly string[]): void {
  node.attribute = node.attribute.filter(({ name }) => !names.includes(name));
}

function setAttribute(node: OnnxNode, attribute: OnnxAttribute): void {
  removeAttributes(node, attribute.name);
  node.attribute.push(attribute);
}
