import { describe, expect, it, vi } from 'vitest';
import { GymError } from '../../../core/errors.js';
import type { NdArray } from '../../../core/ndarray.js';
import type { Snapshot } from '../../../core/snapshot.js';
import {
  AutoresetWrapper,
  CartPole,
  clipReward,
  Denoising,
  delayObservation,
  type Env,
  frameStackObservation,
  MaxAndSkipObservation,
  type Modification,
  MountainCar,
  normalizeReward,
  OrderEnforcing,
  Pendulum,
  RepeatAction,
  recordEpisodeStatistics,
  SyncVectorEnv,
  stickyAction,
  TimeLimit,
  timeAwareObservation,
  type VectorEnv,
  wrap,
} from '../../../envs/index.js';
import { checkEnv } from '../../../testing/env.js';
import { Counter } from '../counter.js';

type Obs = NdArray<Float32Array>;
type Any = Modification<unknown, unknown, unknown, unknown>;
type AnyVector = VectorEnv<unknown, unknown>;

const denoising = () =>
  new Denoising({ timesteps: [3, 1], latentShape: [2, 2, 3], prompts: ['a'], reward: () => [0, 0], numEnvs: 2 });
const vector = (n = 2) => new SyncVectorEnv(Array.from({ length: n }, () => new Counter(3)));
const modified = (modification: Any, n = 2) => wrap(vector(n) as AnyVector, modification);
const sticky = stickyAction(0.5) as Any;

const restorable: [string, () => Env<unknown, unknown> | AnyVector][] = [
  ['TimeLimit', () => new TimeLimit(new Counter(3), 2)],
  ['OrderEnforcing', () => new OrderEnforcing(new Counter(3))],
  ['RepeatAction', () => new RepeatAction(new Counter(3), 2)],
  ['MaxAndSkipObservation', () => new MaxAndSkipObservation(new Counter(3), 2) as Env<unknown, unknown>],
  ['AutoresetWrapper', () => new AutoresetWrapper(new Counter(3))],
  ['a modified environment', () => wrap(new Counter(3) as Env<unknown, unknown>, sticky)],
  ['a modified vector environment', () => modified(sticky)],
  ['SyncVectorEnv', () => vector() as AnyVector],
  ['Denoising', () => denoising() as AnyVector],
  ['CartPole', () => new CartPole() as Env<unknown, unknown>],
];

describe.each(restorable)('%s', (_, create) => {
  it('says what is no snapshot of its own, and goes on', async () => {
    const env = create();
    await env.reset({ seed: 1 });
    const saved = (await env.snapshot!()) as Record<string, Snapshot>;
    for (const none of [null, undefined, {}, [], 7, 'x', { of: 'x', inner: null, own: null, ended: [] }]) {
      const refused = async () => env.restore!(none as Snapshot);
      await expect(refused()).rejects.toSatisfy(GymError.is);
      await expect(refused()).rejects.toThrow(/restore: .*snapshot/);
    }
    await env.restore!(saved);
  });
});

describe('a snapshot of a vector environment is refused', () => {
  const other = (from: AnyVector, into: AnyVector) => () => {
    from.reset();
    return into.restore!(from.snapshot!() as Snapshot);
  };

  it.each<[string, AnyVector, AnyVector, RegExp]>([
    [
      'by one that stacks another number of frames',
      modified(frameStackObservation(4) as Any),
      modified(frameStackObservation(2) as Any),
      /FrameStackObservation.restore: the snapshot is of 'FrameStackObservation\(4\) .*this is 'FrameStackObservation\(2\)/,
    ],
    [
      'by one of another delay, though its observations look alike',
      modified(delayObservation(1) as Any),
      modified(delayObservation(3) as Any),
      /snapshot is of 'DelayObservation\(1\)/,
    ],
    [
      'by one of another discount',
      modified(normalizeReward({ gamma: 0.5 }) as Any),
      modified(normalizeReward() as Any),
      /snapshot is of 'NormalizeReward\(0.5\)/,
    ],
    ['by another modification', modified(sticky), modified(clipReward({ low: 0 }) as Any), /of 'StickyAction/],
    ['by one of another number', modified(sticky, 3), modified(sticky, 2), /of 3 environments, these are 2/],
  ])('%s', (_, from, into, message) => {
    expect(other(from, into)).toThrow(message);
    expect(other(from, into)).toThrow(expect.objectContaining({ code: 'E_STATE' }));
  });

  it('by denoising of other timesteps, which keeps its own episodes', () => {
    const [one, two] = [denoising(), new Denoising({ ...options, timesteps: [4, 1] })];
    one.reset({ seed: 5 });
    const before = two.reset({ seed: 7 });
    expect(() => two.restore(one.snapshot())).toThrow(/snapshot is of 'timesteps 3,1', this is 'timesteps 4,1'/);
    const { latents, ...rest } = one.snapshot() as { latents: NdArray };
    const damaged = { ...rest, timesteps: [4, 1], latents: { ...latents, shape: [12, 2] } };
    expect(() => two.restore(damaged as Snapshot)).toThrow(/latents \[12, 2\]/);
    expect(two.reset({ options: { batch: 0 } })).toEqual(before); // the seed is still its own
  });
});

const options = { latentShape: [2, 2, 3] as const, prompts: ['a'], reward: () => [0, 0], numEnvs: 2 };

it('a snapshot of a single environment is refused by one of other settings', async () => {
  const make = (modification: Any) => wrap(new Counter(3) as Env<unknown, unknown>, modification);
  const pairs: [Any, Any][] = [
    [delayObservation(1) as Any, delayObservation(2) as Any],
    [stickyAction(0.5) as Any, stickyAction(0.5, { duration: 2 }) as Any],
    [normalizeReward({ gamma: 0.5 }) as Any, normalizeReward({ gamma: 0.6 }) as Any],
  ];
  for (const [a, b] of pairs) {
    const env = make(a);
    await env.reset();
    const saved = (await env.snapshot!()) as Snapshot;
    expect(() => make(b).restore!(saved)).toThrow(/made and wrapped alike/);
    await make(a).restore!(saved);
  }
  const repeat = new RepeatAction(new Counter(9), 2);
  repeat.reset();
  expect(() => new RepeatAction(new Counter(9), 3).restore!(repeat.snapshot!() as Snapshot)).toThrow(/alike/);
  const pendulum = new Pendulum().snapshot(); // two numbers, as the state of a MountainCar
  expect(() => new MountainCar().restore(pendulum)).toThrow(/snapshot is of 'Pendulum', this is 'MountainCar'/);
});

it('what a modification keeps is refused where it is damaged', async () => {
  const limited = timeAwareObservation({ maxEpisodeSteps: 9 }) as Any;
  for (const modification of [sticky, limited, normalizeReward() as Any, recordEpisodeStatistics() as Any]) {
    const env = modified(modification);
    await env.reset();
    const saved = (await env.snapshot!()) as Record<string, Snapshot>;
    for (const own of [[null, null], ['x', 'y'], null])
      expect(() => env.restore!({ ...saved, own } as Snapshot), modification.name).toThrow(
        expect.objectContaining({ code: 'E_STATE' }),
      );
  }
});

it('a stack of frames can be saved before the first reset', () => {
  const create = () => wrap(new Counter(3), frameStackObservation<number, Obs>(2));
  const { observation } = create().restore!(create().snapshot!() as Snapshot) as { observation: NdArray };
  expect([...observation.data]).toEqual([0, 0]);
});

it('an environment that is due to be reset is given a valid action, also after a restore', () => {
  const create = () => {
    const inner = vector() as VectorEnv<Obs, number>;
    const steps = vi.spyOn(inner, 'step');
    return { env: wrap(inner, stickyAction(0.5)), steps };
  };
  const [first, second] = [create(), create()];
  first.env.reset({ seed: 0 });
  for (let t = 0; t < 3; t++) first.env.step([1, 1]);
  second.env.restore!(first.env.snapshot!() as Snapshot);
  // Both episodes have ended, so what the caller hands in is not looked at.
  expect(second.env.step([undefined as never, 5])).toEqual(first.env.step([9, 9]));
  for (const { steps } of [first, second]) expect(steps.mock.lastCall).toEqual([[0, 0]]);
});

describe('MaxAndSkipObservation', () => {
  it('shows the same frames after a restore', () => {
    const create = () => new MaxAndSkipObservation(new Pendulum(), 3);
    const [env, other] = [create(), create()];
    env.reset({ seed: 3 });
    const { observation } = env.step(env.actionSpace.sample()) as { observation: NdArray };
    const saved = JSON.parse(JSON.stringify(env.snapshot!()));
    expect(other.restore!(saved)).toEqual({ observation, info: {} });
    env.reset({ seed: 4 });
    const fresh = env.snapshot!() as Snapshot;
    expect(other.restore!(fresh)).toEqual(env.restore!(fresh)); // after a reset there are no frames
  });

  it('keeps the contract', async () => {
    const findings = await checkEnv(() => new MaxAndSkipObservation(new Pendulum(), 3));
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});
