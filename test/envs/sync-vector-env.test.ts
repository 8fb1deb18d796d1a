import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import {
  type Autoreset,
  Box,
  Discrete,
  type Env,
  makeVec,
  SyncVectorEnv,
  type VectorResetResult,
  type VectorStepResult,
} from '../../envs/index.js';
import { Counter, SlowCounter } from './counter.js';

type Obs = NdArray<Float32Array>;
const values = (observations: Obs[]) => observations.map((o) => o.data[0]);

/** Two environments that end after 2 and 3 steps: their traces are those of Gymnasium 1.4's SyncVectorEnv. */
async function trace(autoreset: Autoreset, slow: boolean, steps: number) {
  const lengths = [2, 3];
  const env = new SyncVectorEnv<Obs, number>(
    lengths.map((n) => (slow ? new SlowCounter(n) : new Counter(n))),
    { autoreset },
  );
  const first = await env.reset();
  const out = [{ observations: values(first.observations), infos: first.infos }];
  const rows: { o: unknown; r: number[]; term: number[]; infos: unknown }[] = [];
  for (let i = 0; i < steps; i++) {
    const { observations, rewards, terminated, infos } = await env.step([0, 0]);
    rows.push({ o: values(observations), r: [...rewards], term: [...terminated], infos });
  }
  expect(out[0]!.observations).toEqual([0, 0]);
  return rows;
}

describe.each([
  ['synchronous', false],
  ['asynchronous', true],
] as const)('%s environments', (_, slow) => {
  it('next-step: the step after the end resets, with reward 0', async () => {
    const rows = await trace('next-step', slow, 4);
    expect(rows.map(({ o, r, term }) => [o, r, term])).toEqual([
      [
        [1, 1],
        [1, 1],
        [0, 0],
      ],
      [
        [2, 2],
        [2, 2],
        [1, 0],
      ],
      [
        [0, 3],
        [0, 3],
        [0, 1],
      ],
      [
        [1, 0],
        [1, 0],
        [0, 0],
      ],
    ]);
    expect(rows[2]!.infos).toEqual([{ episode: 1 }, { t: 3 }]);
  });

  it('same-step: the end returns the first observation and keeps the last one beside it', async () => {
    const rows = await trace('same-step', slow, 3);
    expect(rows.map(({ o, r, term }) => [o, r, term])).toEqual([
      [
        [1, 1],
        [1, 1],
        [0, 0],
      ],
      [
        [0, 2],
        [2, 2],
        [1, 0],
      ],
      [
        [1, 0],
        [1, 3],
        [0, 1],
      ],
    ]);
    const final = { data: Float32Array.of(2), shape: [1] };
    expect(rows[1]!.infos).toEqual([{ episode: 1, finalObservation: final, finalInfo: { t: 2 } }, { t: 2 }]);
  });

  it('disabled: the caller resets the ended ones, and the others go on', async () => {
    const env = new SyncVectorEnv<Obs, number>(
      [2, 3].map((n) => (slow ? new SlowCounter(n) : new Counter(n))),
      { autoreset: 'disabled' },
    );
    await env.reset();
    await env.step([0, 0]);
    const { observations, terminated } = await env.step([0, 0]);
    expect([values(observations), [...terminated]]).toEqual([
      [2, 2],
      [1, 0],
    ]);
    expect(() => env.step([0, 0])).toThrow(/environments 0 have ended/);
    const again = await env.reset({ mask: Uint8Array.of(1, 0) });
    expect(values(again.observations)).toEqual([0, 2]);
    expect(values((await env.step([0, 0])).observations)).toEqual([1, 3]);
  });

  it('an error says which environment it was', async () => {
    const env = new SyncVectorEnv<Obs, number>([2, 3].map((n) => (slow ? new SlowCounter(n) : new Counter(n))));
    await env.reset();
    await expect((async () => env.step([0, 99]))()).rejects.toThrow(/environment 1: that is too much/);
  });
});

/** Slow to fail, beside one that fails at once. */
class Late extends SlowCounter {
  ended = false;

  async fail(): Promise<never> {
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.ended = true;
    throw new Error('late');
  }
}

describe('an error beside calls that still run', () => {
  const throws = () => {
    throw new Error('at once');
  };

  it.each([
    'step',
    'reset',
    'restore',
    'render',
    'snapshot',
  ] as const)('%s waits for all, and leaves no rejection behind', async (method) => {
    const late = new Late(3);
    const now = new SlowCounter(3);
    const nothing = () => null;
    for (const env of [late, now]) Object.assign(env, { render: nothing, snapshot: nothing, restore: nothing });
    const env = new SyncVectorEnv<Obs, number>([late, now]);
    await env.reset();
    Object.assign(late, { [method]: () => late.fail() });
    Object.assign(now, { [method]: throws });
    const calls = {
      step: () => env.step([0, 0]),
      reset: () => env.reset(),
      restore: () => env.restore!({ envs: [1, 2], ended: [0, 0], autoreset: 'next-step' }),
      render: () => env.render!(),
      snapshot: () => env.snapshot!(),
    };
    await expect(calls[method]()).rejects.toThrow(/environment 0: late/);
    expect(late.ended).toBe(true);
    Object.assign(late, { [method]: throws });
    expect(calls[method]).toThrow(/environment 0: at once/);
  });

  it('comes when the others have ended', async () => {
    const late = new Late(3);
    const env = new SyncVectorEnv<Obs, number>([new SlowCounter(3), late]);
    await env.reset();
    Object.assign(late, { step: () => late.fail() });
    await expect(env.step([99, 0])).rejects.toThrow(/environment 0: that is too much/);
    expect(late.ended).toBe(true);
  });
});

describe('SyncVectorEnv', () => {
  const two = (options?: { autoreset: Autoreset }) => {
    const envs = [new Counter(2), new Counter(3)];
    return { envs, env: new SyncVectorEnv<Obs, number>(envs, options) };
  };
  const reset = (env: SyncVectorEnv<Obs, number>, options?: Parameters<typeof env.reset>[0]) =>
    env.reset(options) as VectorResetResult<Obs>;
  const step = (env: SyncVectorEnv<Obs, number>, actions = [0, 0]) => env.step(actions) as VectorStepResult<Obs>;

  it('pays for no promise where the environments are synchronous', () => {
    const { env } = two();
    expect(reset(env).observations).toHaveLength(2);
    expect(step(env).rewards).toEqual(Float64Array.of(1, 1));
  });

  it('seeds environment i with seed + i, or each with its own, and never again by itself', () => {
    const { envs, env } = two();
    reset(env, { seed: 5, options: { x: 1 } });
    expect(envs[1]!.resetOptions).toEqual({ x: 1 });
    for (let i = 0; i < 4; i++) step(env);
    reset(env, { seed: [undefined, 8] });
    expect(envs.map((e) => e.seeds)).toEqual([
      [5, undefined, undefined],
      [6, undefined, 8],
    ]);
  });

  it("ignores the action that falls on an environment's reset", () => {
    const { envs, env } = two();
    reset(env);
    for (let i = 1; i <= 4; i++) step(env, [i, i]);
    expect(envs[0]!.actions).toEqual([1, 2, 4]);
  });

  it('ends a pending autoreset by an explicit reset (Gymnasium swallowed the next step)', () => {
    const { env } = two();
    reset(env);
    step(env);
    step(env);
    reset(env);
    expect(values(step(env).observations)).toEqual([1, 1]);
  });

  it('tells truncation from termination', () => {
    const env = new SyncVectorEnv<Obs, number>([new Counter(1), new Counter(1, { truncates: true })]);
    reset(env);
    const { terminated, truncated } = step(env);
    expect([[...terminated], [...truncated]]).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  it('does not change what the caller handed in or got', () => {
    const { env } = two({ autoreset: 'disabled' });
    const options = { mask: 1 };
    reset(env, { options });
    expect(options).toEqual({ mask: 1 });
    const got = step(env);
    got.observations.fill({ data: Float32Array.of(99), shape: [1] });
    expect(values(reset(env, { mask: Uint8Array.of(1, 0) }).observations)).toEqual([0, 1]);
    const next = step(env);
    expect(next.infos[0]).not.toBe(got.infos[0]);
  });

  it('takes a snapshot whole or not at all', async () => {
    const { env } = two();
    reset(env);
    step(env);
    const saved = env.snapshot!() as { envs: unknown[] };
    const same = two({ autoreset: 'same-step' }).env;
    expect(() => same.restore!(saved as never)).toThrow(
      /snapshot is of autoreset 'next-step', this one has 'same-step'/,
    );
    for (const none of [null, undefined, {}, 5]) expect(() => env.restore!(none as never)).toThrow(/no envs/);
    expect(values(step(env).observations)).toEqual([2, 2]);
    const vector = await makeVec('CartPole-v1', 2);
    await vector.reset();
    const { envs, ...rest } = (await vector.snapshot!()) as { envs: unknown[] };
    expect(() => vector.restore!({ ...rest, envs: [envs[0], null] } as never)).toThrow(/environment 1: .*no of, inner/);
    expect(() => vector.step([0, 0])).toThrow(/call reset\(\) first/);
  });

  it('goes on from a snapshot, a pending autoreset included', () => {
    const { env } = two();
    reset(env);
    step(env);
    step(env);
    const saved = JSON.parse(JSON.stringify(env.snapshot!()));
    const other = two();
    expect(values((other.env.restore!(saved) as VectorResetResult<Obs>).observations)).toEqual([2, 2]);
    for (let i = 0; i < 4; i++) {
      const [a, b] = [step(env), step(other.env)];
      expect(b).toEqual(a);
    }
    expect(() => new SyncVectorEnv([new Counter(1)]).restore!(saved)).toThrow(/snapshot is of 2/);
  });

  it('renders all and closes all once', () => {
    const { envs, env } = two();
    reset(env);
    step(env);
    expect(env.render!()).toEqual(['t = 1', 't = 1']);
    env.close();
    env.close();
    expect(envs.map((e) => e.closed)).toEqual([1, 1]);
    expect(() => env.step([0, 0])).toThrow(/closed/);
    expect(() => env.reset()).toThrow(/closed/);
  });

  it('refuses what is none of its calls', () => {
    const { env } = two();
    expect(() => env.step([0, 0])).toThrow(/reset\(\) first/);
    expect(() => env.reset({ mask: Uint8Array.of(1, 0) })).toThrow(/must be of all/);
    reset(env);
    expect(() => env.step([0])).toThrow(/1 actions for 2/);
    expect(() => env.reset({ seed: [1] })).toThrow(/1 seeds for 2/);
    expect(() => env.reset({ mask: Uint8Array.of(0, 0) })).toThrow(/at least one 1/);
    expect(() => env.reset({ mask: Uint8Array.of(1) })).toThrow(/Uint8Array of 2/);
    expect(() => env.reset({ mask: [true, false] as never })).toThrow(/Uint8Array/);
  });

  it('refuses what is nothing of the kind', () => {
    const { env } = two();
    reset(env);
    expect(() => env.step(undefined as never)).toThrow(/undefined is no list of actions for 2/);
    expect(() => env.step(null as never)).toThrow(/null is no list/);
    expect(() => env.reset(null as never)).toThrow(/options must be an object.*null/);
    expect(() => env.reset({ seed: null } as never)).toThrow(/seed must be an integer.*null/);
    expect(() => env.reset({ seed: '12' } as never)).toThrow(/seed must be an integer.*'12'/);
    expect(() => env.reset({ seed: [1, '2'] } as never)).toThrow(/seed must be an integer.*'2'/);
    expect(() => env.reset({ options: 3 } as never)).toThrow(/options must be an object.*3/);
    expect(() => env.reset({ mask: null } as never)).toThrow(/mask must be a Uint8Array of 2.*null/);
    expect(() => new SyncVectorEnv([1 as never])).toThrow(/environment 0: needs an environment; 1 has no/);
  });

  it('refuses environments that do not fit together', () => {
    expect(() => new SyncVectorEnv([])).toThrow(/at least one/);
    const counter = new Counter(1);
    expect(() => new SyncVectorEnv([counter, counter])).toThrow(/one object/);
    const other = Object.assign(new Counter(1), { actionSpace: new Discrete(3) }) as Env<Obs, number>;
    expect(() => new SyncVectorEnv<Obs, number>([counter, other])).toThrow(
      /actionSpace of environment 1 is Discrete\(3\)/,
    );
    const third = Object.assign(new Counter(1), { observationSpace: new Box(0, 1) }) as Env<Obs, number>;
    expect(() => new SyncVectorEnv<Obs, number>([counter, third])).toThrow(/observationSpace/);
    expect(() => new SyncVectorEnv([counter], { autoreset: 'always' as never })).toThrow(/autoreset/);
  });

  it('gives what its environments give alone', async () => {
    const vector = await makeVec('CartPole-v1', 3, {}, { autoreset: 'same-step' });
    const alone = await makeVec('CartPole-v1', 1, {}, { autoreset: 'same-step' });
    let { observations } = (await vector.reset({ seed: 10 })) as VectorResetResult<Obs>;
    let single = (await alone.reset({ seed: 12 })) as VectorResetResult<Obs>;
    for (let i = 0; i < 200; i++) {
      expect(observations[2]).toEqual(single.observations[0]);
      observations = (await vector.step([0, 1, i % 2])).observations;
      single = (await alone.step([i % 2])) as VectorStepResult<Obs>;
    }
  });
});
