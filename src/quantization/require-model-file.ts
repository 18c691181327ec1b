import { stat } from 'node:fs/promises';
import { UsageError } from '../diagnostics/errors.ts';

/**
 * Verifies that the path of a float model leads to a file.
 * @throws UsageError `quantize/no-model`, `quantize/folder-given`
 */
export async function requireModelFile(modelPath: string, shownName = modelPath): Promise<void> {
  const found = await stat(modelPath).catch(() => null); // null: nothing there that could be read
  if (found === null) {
    throw new UsageError({
      code: 'quantize/no-model',
      message: `there is no file ${shownName}`,
      hint: 'give the path of an ONNX model',
    });
  }
  if (!found.isDirectory()) return;
  throw new UsageError({
    code: 'quantize/folder-given',
    message: `the model ${shownName} is a folder`,
    hint: 'give the path of an ONNX file',
  });
}
