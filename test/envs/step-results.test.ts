import { afterEach, describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../core/ndarray.js';
import {
  AutoresetWrapper,
  type Env,
  make,
  makeVec,
  OrderEnforcing,
  RepeatAction,
  register,
  SyncVectorEnv,
  stickyAction,
  TimeLimit,
  unregister,
  type VectorEnv,
  wrap,
} from '../../envs/index.js';
import { Counter } from './counter.js';

type Obs = NdArray<Float32Array>;
type AnyEnv = Env<Obs, number>;

/** What an environment's step may return by mistake from its third step on, and what the error says of it. */
const mistakes: [string, (step: object) => unknown, RegExp][] = [
  ['no reward', (step) => ({ ...step, reward: undefined }), /`reward` must be a number, actual value undefined/],
  ['text as reward', (step) => ({ ...step, reward: '1' }), /`reward` must be a number, actual value '1'/],
  ['an array as reward', (step) => ({ ...step, reward: [1] }), /`reward` must be a number, actual value \[ 1 \]/],
  [
    'the old form with `done`',
    (step) => ({ ...step, terminated: undefined, truncated: undefined, done: true }),
    /has `done`, the old form; return `terminated`/,
  ],
  [
    'the old form with `done` alone',
    () => ({ observation: ndarray(new Float32Array(1), [1]), reward: 1, done: true, info: {} }),
    /has `done`, the old form; return `terminated`/,
  ],
  [
    'no info',
    (step) => ({ ...step, info: undefined }),
    /`info` must be an object, {} for none, actual value undefined/,
  ],
  ['nothing', () => undefined, /the result must be an object, actual value undefined; return { observation, reward/],
  ["Gymnasium's tuple", () => [0, 1, false, false, {}], /the result must be an object, actual value \[ 0, 1, false/],
];

class Mistaken extends Counter {
  readonly #mistake: (step: object) => unknown;

  constructor(mistake: (step: object) => unknown) {
    super(10);
    this.#mistake = mistake;
  }

  override step(action: number) {
    const result = super.step(action);
    return (this.t < 3 ? result : this.#mistake(result)) as typeof result;
  }
}

/** The same with promises. */
class MistakenLate extends Mistaken {
  override step(action: number) {
    return Promise.resolve(super.step(action)) as never;
  }
}

afterEach(() => {
  unregister('Mistaken-v0');
});

describe.each(mistakes)('a step that returns %s', (_, mistake, message) => {
  const wrappers: [string, (env: AnyEnv) => AnyEnv, RegExp][] = [
    ['OrderEnforcing', (env) => new OrderEnforcing(env), /^Mistaken\w*.step \(step 3 of the episode\): /],
    ['TimeLimit', (env) => new TimeLimit(env, 9), /^Mistaken\w*.step \(step 3 of the episode\): /],
    ['a modification', (env) => wrap(env, stickyAction<Obs, number>(0)), /^Mistaken\w*.step: /],
    ['RepeatAction', (env) => new RepeatAction(env, 1), /^Mistaken\w*.step: /],
    ['AutoresetWrapper', (env) => new AutoresetWrapper(env), /^Mistaken\w*.step: /],
  ];

  it.each(wrappers)('is refused at once by %s', async (_name, around, where) => {
    for (const Kind of [Mistaken, MistakenLate]) {
      const env = around(new Kind(mistake));
      await env.reset();
      for (let t = 0; t < 2; t++) expect((await env.step(0)).reward).toBe(t + 1);
      const third = async () => env.step(0);
      await expect(third()).rejects.toThrow(message);
      await env.reset();
      for (let t = 0; t < 2; t++) await env.step(0);
      await expect(third()).rejects.toThrow(where);
    }
  });

  it('is refused at once by a vector environment, which says which it was', async () => {
    for (const Kind of [Mistaken, MistakenLate]) {
      const env = new SyncVectorEnv<Obs, number>([new Counter(9), new Kind(mistake)]);
      await env.reset();
      for (let t = 0; t < 2; t++) await env.step([0, 0]);
      const third = async () => env.step([0, 0]);
      await expect(third()).rejects.toThrow(
        /^SyncVectorEnv: environment 1: Mistaken\w*.step \(step 3 of this vector environment\): /,
      );
      await env.reset();
      for (let t = 0; t < 2; t++) await env.step([0, 0]);
      await expect(third()).rejects.toThrow(message);
    }
  });

  it('is refused at once by what make and makeVec give, by its id', async () => {
    register({ id: 'Mistaken-v0', description: 'returns what is no step', create: () => new Mistaken(mistake) });
    const env = await make('Mistaken-v0');
    await env.reset();
    for (let t = 0; t < 2; t++) await env.step(0);
    expect(() => env.step(0)).toThrow(/^Mistaken-v0.step \(step 3 of the episode\): /);
    const vector = await makeVec('Mistaken-v0', 2);
    await vector.reset();
    for (let t = 0; t < 2; t++) await vector.step([0, 0]);
    expect(() => vector.step([0, 0])).toThrow(/environment 0: Mistaken-v0.step \(step 3 of the episode\): /);
  });
});

it('the count of an episode goes on from a snapshot', () => {
  const create = () => new OrderEnforcing(new Mistaken(() => undefined));
  const env = create();
  env.reset();
  env.step(0);
  const other = create();
  other.restore!(JSON.parse(JSON.stringify(env.snapshot!())));
  other.step(0);
  expect(() => other.step(0)).toThrow(/step 3 of the episode/);
});

describe('a reset that returns', () => {
  const firsts: [string, unknown][] = [
    ['the observation alone, the old form', ndarray(new Float32Array(1), [1])],
    ['no info', { observation: 1 }],
    ['nothing', undefined],
  ];

  it.each(firsts)('%s is refused', async (_, first) => {
    class Old extends Counter {
      override reset(): never {
        return first as never;
      }
    }
    class OldLate extends Counter {
      override reset(): never {
        return Promise.resolve(first) as never;
      }
    }
    const message = /Old\w*.reset: the result must be { observation, info }/;
    for (const Kind of [Old, OldLate]) {
      await expect((async () => new OrderEnforcing(new Kind(1)).reset())()).rejects.toThrow(message);
      await expect((async () => wrap(new Kind(1), stickyAction(0)).reset())()).rejects.toThrow(message);
      await expect((async () => new SyncVectorEnv([new Kind(1)]).reset())()).rejects.toThrow(message);
    }
  });

  it('as a restore does is refused', () => {
    class Restored extends Counter {
      override restore(): never {
        return undefined as never;
      }
    }
    const message = /Restored.restore: the result must be { observation, info }, actual value undefined/;
    for (const env of [new TimeLimit(new Restored(2), 3), new SyncVectorEnv([new Restored(2)])]) {
      env.reset();
      expect(() => env.restore!(env.snapshot!() as never)).toThrow(message);
    }
  });
});

describe('a native vector environment whose step returns', () => {
  const steps: [string, (step: object) => unknown][] = [
    ['rewards as a list', (step) => ({ ...step, rewards: [1, 1] })],
    ['ends as booleans', (step) => ({ ...step, terminated: [true, false] })],
    ['one reward for two', (step) => ({ ...step, rewards: new Float64Array(1) })],
    ['no infos', (step) => ({ ...step, infos: undefined })],
    ['nothing', () => undefined],
  ];

  it.each(steps)('%s is refused by a modification', (_, mistake) => {
    const inner = new SyncVectorEnv<Obs, number>([new Counter(3), new Counter(3)]) as VectorEnv<Obs, number>;
    const step = inner.step.bind(inner);
    inner.step = (actions) => mistake(step(actions) as object) as never;
    const env = wrap(inner, stickyAction(0));
    env.reset();
    expect(() => env.step([0, 0])).toThrow(/SyncVectorEnv.*.step: the result must be { observations, rewards.* of 2/);
  });
});
