import { describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../../core/ndarray.js';
import type { Snapshot } from '../../../core/snapshot.js';
import {
  AutoresetWrapper,
  CartPole,
  Discrete,
  type Env,
  findWrapper,
  frameStackObservation,
  MaxAndSkipObservation,
  make,
  OrderEnforcing,
  Pendulum,
  RepeatAction,
  type StepResult,
  TimeLimit,
  unwrapped,
  wrap,
} from '../../../envs/index.js';
import { Counter, SlowCounter } from '../counter.js';

type Obs = NdArray<Float32Array>;
const torque = (a: number) => ndarray(Float32Array.of(a), [1]);

describe('TimeLimit', () => {
  const ends = (env: Env<Obs, number>, n: number) => {
    env.reset();
    return Array.from({ length: n }, () => {
      const { terminated, truncated } = env.step(0) as StepResult<Obs>;
      return [terminated, truncated];
    });
  };

  it('truncates, and leaves terminated as it was', () => {
    expect(ends(new TimeLimit(new Counter(5), 2), 2)).toEqual([
      [false, false],
      [false, true],
    ]);
    expect(ends(new TimeLimit(new Counter(2), 2), 2)[1]).toEqual([true, true]);
    expect(ends(new TimeLimit(new Counter(2), 3), 2)[1]).toEqual([true, false]);
  });

  it('counts anew after a reset, and from a snapshot on', async () => {
    const env = new TimeLimit(new Counter(9), 3);
    ends(env, 2);
    expect(ends(env, 3)[2]).toEqual([false, true]);
    ends(env, 2);
    const other = new TimeLimit(new Counter(9), 3);
    other.restore!(env.snapshot!() as Snapshot);
    expect(other.elapsed).toBe(2);
    expect((other.step(0) as StepResult<Obs>).truncated).toBe(true);
    const slow = new TimeLimit(new SlowCounter(9), 1);
    await slow.reset();
    expect((await slow.step(0)).truncated).toBe(true);
    expect(slow.snapshot).toBe(undefined);
  });

  it('refuses a limit that is none', () => {
    for (const limit of [0, -1, 1.5, Number.NaN])
      expect(() => new TimeLimit(new Counter(1), limit)).toThrow(/limit|at least 1/);
  });
});

describe('OrderEnforcing', () => {
  it('refuses a step or a picture before the first reset, and a step after the end', async () => {
    const env = new OrderEnforcing(new Counter(1));
    expect(() => env.step(0)).toThrow(/step\(\) before reset/);
    expect(() => env.render!()).toThrow(/render\(\) before reset/);
    env.reset();
    expect(env.render!()).toBe('t = 0');
    env.step(0);
    expect(() => env.step(0)).toThrow(/after the episode ended/);
    env.reset();
    env.step(0);
    const slow = new OrderEnforcing(new SlowCounter(1));
    await slow.reset();
    await slow.step(0);
    expect(() => slow.step(0)).toThrow(/after the episode ended/);
    expect(slow.render).toBe(undefined);
  });

  it('sees the end that a limit inside it made', () => {
    const env = new OrderEnforcing(new TimeLimit(new Counter(5), 1));
    env.reset();
    env.step(0);
    expect(() => env.step(0)).toThrow(/after the episode ended/);
  });

  it('knows from a snapshot that the episode runs', () => {
    const env = new OrderEnforcing(new Counter(5));
    env.reset();
    env.step(0);
    const other = new OrderEnforcing(new Counter(5));
    other.restore!(env.snapshot!() as Snapshot);
    expect(other.step(0)).toMatchObject({ reward: 2 });
  });
});

describe('a snapshot', () => {
  it('is taken whole or not at all', async () => {
    const env = await make('CartPole-v1');
    await env.reset({ seed: 1 });
    const { of, own } = env.snapshot!() as { [key: string]: Snapshot };
    const wrong = [null, undefined, {}, { inner: {}, own: null }, { of, own, inner: {} }, { of, own, inner: null }];
    for (const snapshot of wrong) expect(() => env.restore!(snapshot as Snapshot)).toThrow(/not a snapshot of its own/);
    expect(env.step(0)).toMatchObject({ reward: 1 });
    const bare = new CartPole();
    for (const random of [null, {}, 'x'])
      expect(() => bare.restore({ of: 'CartPole', state: [0, 0, 0, 0], random } as Snapshot)).toThrow(
        /random state: .* no stream/,
      );
    for (const snapshot of [null, {}])
      expect(() => bare.restore(snapshot)).toThrow(/CartPole.restore: .*no of, state, random/);
  });

  it('of an environment that is wrapped otherwise is refused', () => {
    const limited = (n: number) => new TimeLimit(new Counter(9), n);
    const env = limited(3);
    env.reset();
    expect(() => limited(4).restore!(env.snapshot!() as Snapshot)).toThrow(/snapshot is of 'TimeLimit .* 3', this is/);
    expect(() => new OrderEnforcing(new Counter(9)).restore!(env.snapshot!() as Snapshot)).toThrow(/this is 'OrderEnf/);
    const stacked = (n: number) => wrap(new CartPole(), frameStackObservation(n));
    const three = stacked(3);
    three.reset();
    expect(() => stacked(5).restore!(three.snapshot!() as Snapshot)).toThrow(/wrapped alike/);
  });
});

it('what is no environment is not wrapped, and what are no options reset nothing', async () => {
  expect(() => new TimeLimit(5 as never, 3)).toThrow(/TimeLimit: needs an environment; 5 has no/);
  for (const env of [await make('CartPole-v1'), new CartPole()]) {
    expect(() => env.reset(null as never)).toThrow(/CartPole.*reset: options must be an object.*null/);
    expect(() => env.reset({ seed: '0' } as never)).toThrow(/CartPole.*reset: a seed must be an integer.*'0'/);
    expect(() => env.reset({ options: null } as never)).toThrow(/options must be an object/);
  }
});

describe('RepeatAction', () => {
  it("sums rewards as Gymnasium's, and stops at the end", async () => {
    // env = RepeatAction(gym.make('Pendulum-v1'), 3); env.reset(seed=3); env.step(np.array([.5], np.float32))
    const env = new RepeatAction(new Pendulum({ random: 'numpy' }), 3);
    env.reset({ seed: 3 });
    const { observation, reward } = env.step(torque(0.5)) as StepResult<NdArray>;
    expect(reward).toBeCloseTo(-21.294573371632172, 9);
    expect(observation.data[2]).toBeCloseTo(-1.3627290725708008, 6);
    const short = new RepeatAction(new Counter(2), 5);
    short.reset();
    expect(short.step(0)).toMatchObject({ reward: 3, terminated: true });
    const slow = new RepeatAction(new SlowCounter(9), 3);
    await slow.reset();
    expect(await slow.step(0)).toMatchObject({ reward: 6, terminated: false });
    expect(() => new RepeatAction(new Counter(1), 0)).toThrow(/times/);
  });

  it('shows the largest of the last two frames, also where the episode ends early', () => {
    // env = MaxAndSkipObservation(gym.make('Pendulum-v1'), 3); env.reset(seed=3); env.step(...)
    const env = new MaxAndSkipObservation(new Pendulum({ random: 'numpy' }), 3);
    env.reset({ seed: 3 });
    const { observation } = env.step(torque(0.5)) as StepResult<NdArray>;
    const want = [-0.9045547842979431, -0.3637826442718506, -1.117961049079895];
    want.forEach((x, i) => {
      expect(observation.data[i]).toBeCloseTo(x, 6);
    });
    const short = new MaxAndSkipObservation(new Counter(5), 4);
    short.reset();
    short.step(0);
    expect((short.step(0) as StepResult<NdArray>).observation.data[0]).toBe(5); // Gymnasium shows a stale 4
    const other = Object.assign(new Counter(1), { observationSpace: new Discrete(2) });
    expect(() => new MaxAndSkipObservation(other as never)).toThrow(/needs a Box/);
  });
});

describe('AutoresetWrapper', () => {
  it('resets at the step after the end', () => {
    const env = new AutoresetWrapper(new Counter(2));
    env.reset();
    env.step(1);
    expect(env.step(2)).toMatchObject({ reward: 2, terminated: true });
    expect(env.step(3)).toMatchObject({ reward: 0, terminated: false, info: { episode: 1 } });
    expect(env.step(4)).toMatchObject({ reward: 1 });
    expect((unwrapped(env) as Counter).actions).toEqual([1, 2, 4]);
    env.step(1);
    const other = new AutoresetWrapper(new Counter(2));
    other.restore!(env.snapshot!() as Snapshot);
    expect(other.step(0)).toMatchObject({ reward: 0, info: { episode: 2 } });
    env.reset();
    expect(env.step(0)).toMatchObject({ reward: 1 });
  });
});

it('Wrappers hand on what the environment inside has, and close it', () => {
  const counter = new Counter(3);
  const env = new OrderEnforcing(new TimeLimit(counter, 5));
  expect(unwrapped(env)).toBe(counter);
  expect(findWrapper(env, TimeLimit)?.maxEpisodeSteps).toBe(5);
  expect(findWrapper(env, AutoresetWrapper)).toBe(undefined);
  expect(findWrapper(env, Counter)).toBe(counter);
  env.close();
  expect(counter.closed).toBe(1);
});
