import { expect, it } from 'vitest';
import { explainedVariance } from '../../agents/transitions.js';

const of = (values: number[] | undefined, targets: number[] | undefined) =>
  explainedVariance(
    { extras: values === undefined ? {} : { value: Float32Array.from(values) } },
    targets && Float32Array.from(targets),
  )['train/explainedVariance'];

it('is 1 − Var(targets − values) / Var(targets)', () => {
  expect(of([1, 2, 4], [1, 2, 4])).toBe(1);
  // A constant error leaves no variance: the same to a policy gradient with a baseline.
  expect(of([2, 3, 5], [1, 2, 4])).toBe(1);
  expect(of([7, 7, 7], [1, 2, 4])).toBeCloseTo(0, 12);
  // Errors 0, 0, 3, of variance 2; targets 1, 2, 3, of variance 2/3.
  expect(of([1, 2, 0], [1, 2, 3])).toBeCloseTo(1 - 2 / (2 / 3), 6);
});

it('is left out without a critic, without targets, and where the targets are all alike', () => {
  expect(of(undefined, [1, 2])).toBeUndefined();
  expect(of([1, 2], undefined)).toBeUndefined();
  expect(of([1, 2], [3, 3])).toBeUndefined();
});
