/**
 * One number a row, differentiable, or a single number that stands for all rows (a mean). Losses are written in these
 * operations, so that the same loss is computed on tensors of TensorFlow.js, which are `Rows`, and on plain arrays
 * (`ArrayRows`), which cost a fraction for small networks. Names and gradients are TensorFlow.js's.
 */
export type Rows = {
  add(other: Rows | number): Rows;
  sub(other: Rows | number): Rows;
  mul(other: Rows | number): Rows;
  div(other: Rows | number): Rows;
  /** Where both are equal, the gradient goes to this one. */
  minimum(other: Rows | number): Rows;
  /** Where both are equal, the gradient goes to this one. */
  maximum(other: Rows | number): Rows;
  neg(): Rows;
  exp(): Rows;
  log(): Rows;
  square(): Rows;
  sqrt(): Rows;
  clipByValue(min: number, max: number): Rows;
  /** 1 where it is above 0, else 0; without a gradient. */
  step(): Rows;
  mean(): Rows;
  sum(): Rows;
};

/** Some rows of values [n, width]. */
export function gather(values: Float32Array, width: number, rows: Int32Array): Float32Array {
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    for (let k = 0; k < width; k++) data[i * width + k] = values[row * width + k]!;
  });
  return data;
}
