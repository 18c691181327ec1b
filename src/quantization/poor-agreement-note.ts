import type { Fidelity } from './fidelity.ts';

/** Below it int8 is another classifier for many uses. */
const POOR_FRACTION = 0.9;
/** With fewer, one image is too large a part to say so. */
const LEAST_IMAGES = 20;

/** Tells, as a list of one, when int8 often names another class than float32, and what can be done. */
export function poorAgreementNote({ agreementFraction, imageCount }: Fidelity): string[] {
  if (imageCount < LEAST_IMAGES || agreementFraction >= POOR_FRACTION) return [];
  const otherCount = Math.round((1 - agreementFraction) * imageCount);
  return [
    `int8 names another class than float32 on ${otherCount} of ${imageCount} images: check first that the images are of the kind the model was trained on and normalized as it expects; the sensitivity report tells which layers harm most, and exclude or accuracyBudget (stage quantize) leave them in float`,
  ];
}
