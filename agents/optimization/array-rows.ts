import type { Rows } from '../rows.js';

/** Adds to the slopes of what a result was computed from. */
type Backward = (result: ArrayRows) => void;

let made = 0;

/**
 * {@link Rows} on plain arrays, by reverse-mode differentiation: each result remembers what it was computed from, and
 * {@link backward} carries the derivative of a loss from the last result back to the first.
 */
export class ArrayRows implements Rows {
  /** One number a row, or one for all. */
  readonly values: ArrayLike<number>;
  /** The derivatives of the loss by {@link values}, after {@link backward}. */
  readonly slopes: Float64Array;
  readonly #inputs: readonly ArrayRows[];
  readonly #backward: Backward | undefined;
  /** Results are numbered as they are made, so that each has a larger number than its inputs. */
  readonly #number = made++;

  constructor(values: ArrayLike<number>, inputs: readonly ArrayRows[] = [], backward?: Backward) {
    this.values = values;
    this.slopes = new Float64Array(values.length);
    this.#inputs = inputs;
    this.#backward = backward;
  }

  /** Computes the slopes of everything that this single number was computed from. */
  backward(): void {
    const found = new Set<ArrayRows>([this]);
    for (const result of found) for (const input of result.#inputs) found.add(input);
    this.slopes[0] = 1;
    for (const result of [...found].sort((a, b) => b.#number - a.#number)) result.#backward?.(result);
  }

  add(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => a + b,
      () => 1,
      () => 1,
    );
  }

  sub(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => a - b,
      () => 1,
      () => -1,
    );
  }

  mul(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => a * b,
      (_, b) => b,
      (a) => a,
    );
  }

  div(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => a / b,
      (_, b) => 1 / b,
      (a, b) => -a / (b * b),
    );
  }

  minimum(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => Math.min(a, b),
      (a, b) => Number(a <= b),
      (a, b) => Number(a > b),
    );
  }

  maximum(other: Rows | number): ArrayRows {
    return this.#binary(
      other,
      (a, b) => Math.max(a, b),
      (a, b) => Number(a >= b),
      (a, b) => Number(a < b),
    );
  }

  neg(): ArrayRows {
    return this.#unary(
      (x) => -x,
      () => -1,
    );
  }

  exp(): ArrayRows {
    return this.#unary(Math.exp, (_, y) => y);
  }

  log(): ArrayRows {
    return this.#unary(Math.log, (x) => 1 / x);
  }

  square(): ArrayRows {
    return this.#unary(
      (x) => x * x,
      (x) => 2 * x,
    );
  }

  sqrt(): ArrayRows {
    return this.#unary(Math.sqrt, (_, y) => 0.5 / y);
  }

  clipByValue(min: number, max: number): ArrayRows {
    return this.#unary(
      (x) => Math.min(max, Math.max(min, x)),
      (x) => Number(x >= min && x <= max),
    );
  }

  step(): ArrayRows {
    return this.#unary(
      (x) => Number(x > 0),
      () => 0,
    );
  }

  mean(): ArrayRows {
    return this.#total(1 / this.values.length);
  }

  sum(): ArrayRows {
    return this.#total(1);
  }

  #total(scale: number): ArrayRows {
    const { values, slopes } = this;
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i]!;
    return new ArrayRows([sum * scale], [this], (result) => {
      for (let i = 0; i < slopes.length; i++) slopes[i]! += scale * result.slopes[0]!;
    });
  }

  /** @param slope the derivative of `f`, from its argument and its result. */
  #unary(f: (x: number) => number, slope: (x: number, y: number) => number): ArrayRows {
    const { values: x, slopes } = this;
    const y = new Float64Array(x.length);
    for (let i = 0; i < y.length; i++) y[i] = f(x[i]!);
    return new ArrayRows(y, [this], (result) => {
      for (let i = 0; i < y.length; i++) slopes[i]! += result.slopes[i]! * slope(x[i]!, y[i]!);
    });
  }

  /** A single number is combined with every row. @param slopeA, slopeB the derivatives of `f` by its arguments. */
  #binary(
    other: Rows | number,
    f: (a: number, b: number) => number,
    slopeA: (a: number, b: number) => number,
    slopeB: (a: number, b: number) => number,
  ): ArrayRows {
    const right = typeof other === 'number' ? new ArrayRows([other]) : (other as ArrayRows);
    const [a, b] = [this.values, right.values];
    const y = new Float64Array(Math.max(a.length, b.length));
    // 0 where the same number serves all rows.
    const [stepA, stepB] = [a.length === y.length ? 1 : 0, b.length === y.length ? 1 : 0];
    for (let i = 0; i < y.length; i++) y[i] = f(a[i * stepA]!, b[i * stepB]!);
    return new ArrayRows(y, [this, right], (result) => {
      for (let i = 0; i < y.length; i++) {
        const [u, v, slope] = [a[i * stepA]!, b[i * stepB]!, result.slopes[i]!];
        this.slopes[i * stepA]! += slope * slopeA(u, v);
        right.slopes[i * stepB]! += slope * slopeB(u, v);
      }
    });
  }
}
