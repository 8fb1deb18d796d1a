/** The mean; NaN where there are no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** @param ddof 0: of a whole population (as numpy's `std`); 1: estimated from a sample. */
export function standardDeviation(values: ArrayLike<number>, ddof: 0 | 1 = 0): number {
  const m = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i]! - m) ** 2;
  return Math.sqrt(sum / (values.length - ddof));
}

/**
 * Population mean and standard deviation (numpy's `mean()` and `std()`). Of equal numbers it is exactly that number and 0:
 * a rounded sum would leave a spread of 1e-16, which a standardised advantage would blow up to 1.
 */
export function meanAndStd(values: ArrayLike<number>): { mean: number; std: number } {
  if (values.length > 0 && Array.prototype.every.call(values, (value) => value === values[0]))
    return { mean: values[0]!, std: 0 };
  return { mean: mean(values), std: standardDeviation(values) };
}
