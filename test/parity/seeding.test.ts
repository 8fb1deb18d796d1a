import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { Box, Discrete, type Env, make, NumpyRandom } from '../../envs/index.js';
import { readFixture } from './fixtures.js';

interface Fixture {
  resets: Record<string, { seed: number; first: number[]; second: number[] }[]>;
  uniform: Record<string, number[]>;
  discrete: { n: number; start: number; seed: number; samples: number[] }[];
  box: { low: number; high: number; shape: number[]; seed: number; samples: unknown[] }[];
}

const { resets, uniform, discrete, box } = await readFixture<Fixture>('seeding.json');

const float32 = (values: ArrayLike<number>) => Array.from(values, Math.fround);
const flat = (values: unknown): number[] => (Array.isArray(values) ? values.flatMap(flat) : [values as number]);

describe.each(Object.keys(resets))("%s with NumPy's numbers", (id) => {
  it('is reset to what Gymnasium is, with a seed and then without', async () => {
    const env = (await make(id, { random: 'numpy' })) as Env<NdArray, unknown>;
    for (const { seed, first, second } of resets[id]!) {
      expect([...(await env.reset({ seed })).observation.data], `seed ${seed}`).toEqual(float32(first));
      expect([...(await env.reset()).observation.data], `second after seed ${seed}`).toEqual(float32(second));
    }
  });
});

it("draws NumPy's uniform numbers", () => {
  for (const [seed, draws] of Object.entries(uniform)) {
    const random = new NumpyRandom(seed);
    expect(draws.map(() => random.next())).toEqual(draws);
  }
});

it("samples Gymnasium's Discrete", () => {
  for (const { n, start, seed, samples } of discrete) {
    const space = new Discrete(n, start);
    space.seed(seed, 'numpy');
    expect(samples.map(() => space.sample(), `Discrete(${n}, ${start}), seed ${seed}`)).toEqual(samples);
  }
});

it("samples Gymnasium's Box", () => {
  for (const { low, high, shape, seed, samples } of box) {
    const space = new Box(low, high, shape);
    space.seed(seed, 'numpy');
    for (const sample of samples) {
      const got = space.sample();
      expect(got.shape).toEqual(shape);
      expect([...got.data], `Box(${low}, ${high}), seed ${seed}`).toEqual(float32(flat(sample)));
    }
  }
});
