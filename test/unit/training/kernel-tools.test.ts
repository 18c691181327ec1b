import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withFallback } from '../../../src/training/kernel-tools.ts';
import { nativeOperations } from '../../../src/training/native-operations.ts';
import { tensorflowOrSkip } from '../../support/tensorflow.ts';

test('a kernel that TensorFlow lacks is asked for once, any other failure is thrown', async (context) => {
  const tf = await tensorflowOrSkip(context);
  if (tf === null) return;
  const native = nativeOperations(tf);
  let askedCount = 0;
  const lacking = withFallback(
    () => {
      askedCount += 1;
      native.execute('_DrqHasNoSuchKernel', [], [], 1);
      return 'kernel';
    },
    () => 'fallback',
  );
  assert.deepEqual([lacking(), lacking(), askedCount], ['fallback', 'fallback', 1]);

  let isShort = true;
  const short = withFallback(
    () => {
      if (isShort) throw new Error('Invalid TF_Status: 8\nMessage: OOM when allocating tensor');
      return 'kernel';
    },
    () => 'fallback',
  );
  assert.throws(() => short(), /OOM/);
  isShort = false;
  assert.equal(short(), 'kernel');
});
