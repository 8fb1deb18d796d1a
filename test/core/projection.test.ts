import { describe, expect, it } from 'vitest';
import { principalPlane } from '../../core/projection.js';

describe('principalPlane', () => {
  it('equals a singular value decomposition of a few points, up to the sign of an axis', () => {
    // NumPy 2.4: X -= X.mean(0); U, S, V = np.linalg.svd(X, full_matrices=False); (U * S)[:, :2]
    const points = principalPlane([
      [2, 0, 1],
      [0, 1, 0],
      [1, 3, 2],
      [4, 1, 1],
      [3, 5, 0],
    ]);
    const expected = [
      [1.92499709, 0.57667995],
      [1.47343622, -1.66604804],
      [-0.58647319, -1.190299],
      [0.39644932, 2.20833486],
      [-3.20840944, 0.07133223],
    ];
    const sign = [0, 1].map((axis) => Math.sign(points[0]![axis]! * expected[0]![axis]!));
    points.forEach((point, n) => {
      for (const axis of [0, 1]) expect(point[axis]! * sign[axis]!).toBeCloseTo(expected[n]![axis]!, 6);
    });
  });

  it('gives points on a line one coordinate, and points that are all alike none', () => {
    const line = principalPlane([
      [0, 0],
      [3, 4],
      [6, 8],
    ]);
    line.forEach(([x, y], n) => {
      expect(Math.abs(x)).toBeCloseTo(Math.abs(n - 1) * 5, 9);
      expect(y).toBeCloseTo(0, 9);
    });
    expect(principalPlane([Float32Array.of(1, 2), Float32Array.of(1, 2)])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
});
