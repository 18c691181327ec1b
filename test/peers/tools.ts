import type { EnvironmentName } from './environments.ts';

/**
 * What of the stages' parameters differs from their defaults. `min-max` does what onnxruntime's tool
 * does and nothing beyond it, so that times compare like with like.
 */
export const DRQ_VARIANTS = {
  'drq-min-max': {
    calibrate: { method: 'min-max', equalization: 'none' },
    quantize: { rounding: 'nearest', biasCorrection: 'none' },
  },
  'drq-default': { calibrate: {}, quantize: {} },
} as const satisfies Record<string, { calibrate: object; quantize: object }>;
export type DrqVariant = keyof typeof DRQ_VARIANTS;

/** Every other tool and the environment it runs in; `quantizers.py` knows how to call it. */
export const PEERS = {
  'onnxruntime-min-max': 'onnxruntime',
  nncf: 'nncf',
  'neural-compressor': 'neural-compressor',
  'onnxruntime-percentile': 'onnxruntime',
  'onnxruntime-entropy': 'onnxruntime',
} as const satisfies Record<string, EnvironmentName>;
export type Peer = keyof typeof PEERS;

export type Tool = DrqVariant | Peer;

/** In the order they run: what the others are compared with comes first. */
export const TOOLS = [
  'onnxruntime-min-max',
  'drq-min-max',
  'drq-default',
  'nncf',
  'onnxruntime-percentile',
  'onnxruntime-entropy',
  'neural-compressor',
] as const satisfies readonly Tool[];

export function isDrq(tool: Tool): tool is DrqVariant {
  return Object.hasOwn(DRQ_VARIANTS, tool);
}
