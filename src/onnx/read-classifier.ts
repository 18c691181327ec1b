import { checkModel } from './check.ts';
import { classifierSignature, type ClassifierSignature } from './model-signature.ts';
import type { OnnxModel } from './model.ts';
import { readOnnx, type ReadModel } from './reader.ts';

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

/**
 * Gives `model` at the first call and lets go of it, then what `readAgain` gives. Weights of hundreds
 * of megabytes then live only as long as somebody works on them.
 */
function handOver(model: OnnxModel, readAgain: ReadModel): ReadModel {
  let held: OnnxModel | null = model;
  return async () => {
    const given = held ?? (await readAgain());
    held = null;
    return given;
  };
}
