import { Random } from './random.js';

/**
 * Points in the plane in which they differ most: their first two principal components. The sign of an axis, which is
 * arbitrary, is chosen so that the point farthest from the middle lies on its positive side.
 * @param rows N vectors of one length.
 * @returns N pairs, whose mean is 0.
 */
export function principalPlane(rows: readonly ArrayLike<number>[]): [number, number][] {
  const size = rows[0]?.length ?? 0;
  const mean = Float64Array.from({ length: size }, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
  const left = rows.map((row) => Float64Array.from(mean, (center, i) => row[i]! - center));
  const axes = [0, 1].map((number) => {
    const axis = longestAxis(left, new Random(`principal/${number}`));
    const along = left.map((row) => dot(row, axis));
    // What lies along the first axis is taken away before the second is looked for.
    left.forEach((row, n) => {
      for (let i = 0; i < size; i++) row[i]! -= along[n]! * axis[i]!;
    });
    const farthest = along.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    return farthest < 0 ? along.map((value) => -value) : along;
  });
  return rows.map((_, n) => [axes[0]![n]!, axes[1]![n]!]);
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The direction of the largest variance, by power iteration on XᵀX; the zero vector where there is none. */
function longestAxis(rows: readonly Float64Array[], random: Random): Float64Array {
  let axis = Float64Array.from({ length: rows[0]?.length ?? 0 }, () => random.normal());
  for (let iteration = 0; iteration < 500; iteration++) {
    const next = new Float64Array(axis.length);
    for (const row of rows) {
      const along = dot(row, axis);
      for (let i = 0; i < next.length; i++) next[i]! += along * row[i]!;
    }
    const length = Math.sqrt(dot(next, next));
    if (length === 0) return next;
    for (let i = 0; i < next.length; i++) next[i]! /= length;
    const moved = next.reduce((most, value, i) => Math.max(most, Math.abs(value - axis[i]!)), 0);
    axis = next;
    if (moved < 1e-10) break;
  }
  return axis;
}
