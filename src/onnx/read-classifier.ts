import { checkModel } from './check.ts';
import { classifierSignature, type ClassifierSignature } from './model-signature.ts';
import { handOver, readOnnx, type ReadModel } from './reader.ts';

/**
 * A classifier's signature and a way to its model, which is held until that is first called.
 * @throws OnnxError when the file is no model that can be worked on
 */
export async function readClassifier(
  path: string,
): Promise<{ readonly signature: ClassifierSignature; readonly readModel: ReadModel }> {
  const model = await readOnnx(path);
  checkModel(model, path);
  return {
    signature: classifierSignature(model, path),
    readModel: handOver(model, () => readOnnx(path)),
  };
}
