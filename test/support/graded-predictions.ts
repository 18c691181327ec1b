/**
 * 103 true grades and predictions of five classes, from a linear congruential generator (seed 12345)
 * that favours the true grade. The tests' expected figures for them were computed with scikit-learn
 * 1.9.1, statsmodels and scipy.
 */
export const LABELS = digits(
  '3310223210114004313203000002024012303014132224012334' +
    '120131001102001220212210000103022223230332012212334',
);
export const PREDICTED = digits(
  '1110223210114034303003032012202301333014230221012332' +
    '120131201202002122332230011003023213230332002313313',
);

function digits(text: string): number[] {
  return Array.from(text, Number);
}
