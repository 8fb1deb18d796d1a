import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.js';

describe('Random', () => {
  it('gives one stream for one seed, whether number or text', () => {
    const a = new Random(7);
    const b = new Random('7');
    expect(Array.from({ length: 5 }, () => a.next())).toEqual(Array.from({ length: 5 }, () => b.next()));
    expect(new Random(8).next()).not.toBe(new Random(7).next());
  });

  it('has children fixed by name, whatever was drawn before', () => {
    const parent = new Random(1);
    const first = parent.child('env').next();
    parent.next();
    expect(parent.child('env').next()).toBe(first);
    expect(parent.child('agent').next()).not.toBe(first);
  });

  it('goes on from a saved state, between the two normals of a pair too', () => {
    const random = new Random(3);
    random.normal();
    const state = JSON.parse(JSON.stringify(random.state()));
    const restored = Random.restore(state);
    for (let i = 0; i < 5; i++) expect(restored.normal()).toBe(random.normal());
    expect(restored.integer(1000)).toBe(random.integer(1000));
  });

  it('draws standard normals: mean, variance, skewness and kurtosis of 200,000', () => {
    const x = new Random(5).normals(200_000);
    const moment = (k: number) => x.reduce((sum, v) => sum + v ** k, 0) / x.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.01);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.015);
    expect(Math.abs(moment(3))).toBeLessThan(0.03);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1);
  });

  it('draws integers and permutations uniformly', () => {
    const random = new Random(6);
    const permutations = new Set(Array.from({ length: 200 }, () => [...random.permutation(3)].join('')));
    expect(permutations.size).toBe(6);
    const die = new Array<number>(6).fill(0);
    for (let i = 0; i < 6000; i++) die[random.integer(6)]!++;
    for (const n of die) expect(Math.abs(n - 1000)).toBeLessThan(120);
  });

  it('refuses a fractional seed, an empty choice, and integer(0)', () => {
    expect(() => new Random(1.5)).toThrow(/must be an integer, actual value 1.5/);
    expect(() => new Random(1).choice([])).toThrow(/empty/);
    expect(() => new Random(1).integer(0)).toThrow(/at least 1, actual value 0/);
  });

  it.each([
    ['nothing', null],
    ['another thing', { alea: undefined }],
    ['a part that is missing', { alea: { c: 1, s0: 0.5, s1: 0.5 } }],
    ['NaN, which would never give a normal', { alea: { c: 1, s0: Number.NaN, s1: 0.5, s2: 0.5 } }],
    ['all zeros, which stay zeros', { alea: { c: 0, s0: 0, s1: 0, s2: 0 } }],
    ['the largest values, which stay', { alea: { c: 2091638, s0: 1 - 2 ** -32, s1: 1 - 2 ** -32, s2: 1 - 2 ** -32 } }],
    ['a fraction of more than 32 bits', { alea: { c: 1, s0: 0.1, s1: 0.5, s2: 0.5 } }],
    ['a spare that is infinite', { spare: Number.POSITIVE_INFINITY }],
    ['a seed that is no text', { seed: 1 }],
  ])('refuses to go on from %s', (_, change) => {
    const state = change && { ...new Random(1).state(), ...change };
    expect(() => Random.restore(state as never)).toThrow(/is the state of no stream/);
  });
});
