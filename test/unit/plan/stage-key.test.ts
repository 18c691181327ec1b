import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../../src/stage/artifact.ts';
import { stageKey, type StageFingerprint } from '../../../src/plan/stage-key.ts';

const fingerprint: StageFingerprint = {
  kind: 'train',
  version: 3,
  parameters: {
    epochs: 5,
    learningRate: 1e-4,
    network: 'alexnet',
    nested: { b: [1, null], a: true },
  },
  inputs: { images: 'ab'.repeat(32) as Digest },
  runtimes: { '@tensorflow/tfjs-node': '4.22.0' },
};

// Raise KEY_FORMAT when this literal has to change: every stored result then has another key.
// Worked out independently with `printf '%s' DOCUMENT | sha256sum` for the document
// {"format":1,"inputs":{"images":"abab…"},"kind":"train","parameters":{"epochs":5,"learningRate":0.0001,
// "nested":{"a":true,"b":[1,null]},"network":"alexnet"},"runtimes":{"@tensorflow/tfjs-node":"4.22.0"},"version":3}
const PINNED = '1762bc5967c8739f356df01b6f15e097c78a78fd68c320e2b654c3af8eb38db7';

test('the key of a known fingerprint is pinned', () => {
  assert.equal(stageKey(fingerprint), PINNED);
});

test('the order of keys changes nothing; every part of the document does', () => {
  const turned = { ...fingerprint, parameters: { ...fingerprint.parameters } };
  const parameters = Object.fromEntries(Object.entries(turned.parameters).reverse());
  assert.equal(stageKey({ ...turned, parameters }), PINNED);
  const digest = 'cd'.repeat(32) as Digest;
  const variants: StageFingerprint[] = [
    { ...fingerprint, kind: 'tune' },
    { ...fingerprint, version: 4 },
    { ...fingerprint, parameters: { ...fingerprint.parameters, epochs: 6 } },
    { ...fingerprint, inputs: { images: digest } },
    { ...fingerprint, inputs: { photos: 'ab'.repeat(32) as Digest } },
    { ...fingerprint, runtimes: { '@tensorflow/tfjs-node': '4.23.0' } },
    { ...fingerprint, outputs: { out: { kind: 'file', path: 'x' } } },
    { ...fingerprint, source: digest },
    { ...fingerprint, machine: digest },
  ];
  assert.equal(new Set([PINNED, ...variants.map(stageKey)]).size, variants.length + 1);
});
