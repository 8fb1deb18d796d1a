import { expect, it } from 'vitest';
import { GymError, messageOf, nearest, unknownName } from '../../core/errors.js';

it('a mistyped name gets the nearest known one', () => {
  const known = ['CartPole-v1', 'Pendulum-v1', 'Denoising-v0'];
  expect(nearest('cartpole-v1', known)).toBe('CartPole-v1');
  expect(nearest('Cratpole-v1', known)).toBe('CartPole-v1');
  expect(nearest('xyz', known)).toBeUndefined();
  expect(unknownName('make', 'environment', 'Denoisng-v0', known).message).toBe(
    'make: unknown environment `Denoisng-v0`. Did you mean `Denoising-v0`? Known: CartPole-v1, Pendulum-v1, Denoising-v0.',
  );
  expect(unknownName('make', 'environment', 'x', []).message).toMatch(/Known: \(none\)/);
});

it('errors are known by what they are, across copies of the package', () => {
  const error = new GymError('E_VALUE', 'a: b', { cause: new Error('c') });
  expect(GymError.is(error)).toBe(true);
  expect(GymError.is(new Error('a'))).toBe(false);
  expect(error.code).toBe('E_VALUE');
  expect(messageOf(error)).toBe('a: b');
  expect(messageOf('text')).toBe('text');
});
