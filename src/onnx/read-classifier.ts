import { checkModel } from './check.ts';
import { requireFloat32Weights, requireFloatModel } from './check-weights.ts';
import { classifierSignature, requireScores, type ClassifierSignature } from './model-signature.ts';
import type { OnnxModel } from './model.ts';
import { handOver, readOnnxFiles, type ReadModel } from './reader.ts';

/**
 * A classifier's signature and a way to its model, which is held until that is first called.
 * Messages call it `shownName`.
 * @throws OnnxError when the file is no model that can be worked on
 */
export async function readClassifier(
  path: string,
  shownName = path,
): Promise<{ readonly signature: ClassifierSignature; readonly readModel: ReadModel }> {
  const read = async (): Promise<OnnxModel> => (await readOnnxFiles(path, shownName)).model;
  const model = await read();
  return {
    signature: checkClassifier(model, shownName),
    readModel: handOver(model, read),
  };
}

/** The signature of a model that can be worked on. @throws OnnxError when it cannot */
export function checkClassifier(model: OnnxModel, shownName: string): ClassifierSignature {
  // Converters to float16 leave graphs out of order too; the type is what the user can change.
  requireFloatModel(model, shownName);
  requireFloat32Weights(model, shownName);
  checkModel(model, shownName);
  const signature = classifierSignature(model, shownName);
  requireScores(model, shownName);
  return signature;
}
