import type { TestContext } from 'node:test';
import { loadTensorflow, type Tensorflow } from '../../src/runtime/tensorflow.ts';
import { tensorflowStatus } from '../../src/runtime/tensorflow-location.ts';

/** TensorFlow, or null after skipping the test where its binding is absent. */
export async function tensorflowOrSkip(test: TestContext): Promise<Tensorflow | null> {
  const status = tensorflowStatus();
  if (status.state === 'ready') return loadTensorflow();
  test.skip(`no TensorFlow binding: ${status.reason}`);
  return null;
}
