/** Lower-case hexadecimal SHA-256, always all 64 digits; shown shortened to 12. */
export type Digest = string & { readonly __brand: 'Digest' };

/** What an artifact is. The kind fixes whether it is a file or a folder and what it is called on disk. */
export const ARTIFACT_KINDS = {
  /** Labelled images with their splits: `dataset.json` and `images/` (see `src/data/dataset-index.ts`). */
  dataset: { form: 'folder', suffix: '' },
  /** Preprocessed uint8 images in packed shards (see `src/data/image-shards.ts`). */
  'image-shards': { form: 'folder', suffix: '' },
  'model/onnx': { form: 'file', suffix: '.onnx' },
  /** Weights of a trained network as tf.io writes them, `model.json` and `weights.bin`, and as PyTorch reads them. */
  'model/tfjs': { form: 'folder', suffix: '' },
  /** Ranges of every activation, as JSON (see `src/quantization/calibration-table.ts`). */
  'calibration-table': { form: 'file', suffix: '.json' },
  /** Named numbers with units and intervals, as JSON (see `metrics-file.ts`). */
  metrics: { form: 'file', suffix: '.json' },
  /** Raw timings, as CSV with one row a run. */
  'latency-samples': { form: 'file', suffix: '.csv' },
  /** One row an image: image, label, predicted, probabilities. */
  predictions: { form: 'file', suffix: '.csv' },
  /** One row an epoch. */
  history: { form: 'file', suffix: '.csv' },
  /** TensorBoard event files. */
  events: { form: 'folder', suffix: '' },
  /** A text for people, Markdown. */
  report: { form: 'file', suffix: '.md' },
  /** Anything else. */
  file: { form: 'file', suffix: '' },
  folder: { form: 'folder', suffix: '' },
} as const satisfies Record<string, { form: 'file' | 'folder'; suffix: string }>;

export type ArtifactKind = keyof typeof ARTIFACT_KINDS;

/** An output made real: immutable, found in the store by its digest. */
export interface Artifact {
  readonly kind: ArtifactKind;
  /** Of the bytes for a file; of the canonical list of paths and digests for a folder. */
  readonly digest: Digest;
  readonly sizeBytes: number;
}
