export const GRADIENT_FORMS = ['kernels', 'products'] as const;
/**
 * How gradients of float32 convolutions are computed: by oneDNN's kernels for them, or where it can be by
 * its convolutions and matrix products.
 */
export type GradientForm = (typeof GRADIENT_FORMS)[number];

/** With AVX512 both take as long; without, the kernels up to seven times. See `createTurnedConvolutions`. */
export function fasterGradientForm(hasAvx512: boolean): GradientForm {
  return hasAvx512 ? 'kernels' : 'products';
}
