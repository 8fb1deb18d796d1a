/** NaN of nothing. */
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
