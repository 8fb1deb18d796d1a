import { expect, it } from 'vitest';
import { Discrete, type Space, Text, Tuple, zeroOf } from '../../../envs/spaces/index.js';

it('the zero of a Text is its shortest, of the first character', () => {
  expect(zeroOf(new Text(5, { minLength: 2, charset: '😀a' }))).toBe('😀😀');
  expect(zeroOf(new Text(5, { minLength: 0, charset: 'a' }))).toBe('');
  expect(zeroOf(new Text(5, { minLength: 3, charset: 'any' }))).toBe('   ');
});

it('a zero draws nothing from the stream of its space, and is the same each time', () => {
  /** A space of a kind that the package does not know. */
  class Percent extends Discrete {}
  const custom = new Percent(100);
  const foreign: Space<number> = {
    kind: 'Percent',
    sample: () => custom.sample(),
    contains: (value): value is number => custom.contains(value),
    seed: (seed, random) => custom.seed(seed, random),
    randomState: () => custom.randomState(),
    restoreRandomState: (state) => custom.restoreRandomState(state),
    equals: (other) => other === foreign,
    toJson: () => ({ kind: 'Percent' }),
    toString: () => 'Percent()',
  };
  const space = new Tuple([new Text(5, { minLength: 3, charset: 'any' }), foreign]);
  space.seed(7);
  const before = space.randomState();
  const zero = zeroOf(space);
  expect(space.randomState()).toEqual(before);
  space.sample();
  expect(zeroOf(space)).toEqual(zero);
});
