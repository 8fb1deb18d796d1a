import { afterEach, beforeEach, describe, expect, expectTypeOf, it, type MockInstance, vi } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import {
  CartPole,
  type Denoising,
  type Env,
  findWrapper,
  listEnvironments,
  make,
  makeVec,
  type Registration,
  register,
  spec,
  TimeLimit,
  unregister,
  unwrapped,
  type VectorEnv,
} from '../../envs/index.js';
import { Counter } from './counter.js';

declare module '../../envs/index.js' {
  interface KnownEnvs {
    'TypedCounter-v0': { env: Counter; options: { length?: number } };
  }
}

const mine = (id: string, more: Partial<Registration> = {}): Registration => ({
  id,
  description: 'counts',
  options: { length: 'steps' },
  create: ({ length = 3 }) => new Counter(length as number),
  ...more,
});

let warnings: MockInstance<typeof process.emitWarning>;
beforeEach(() => {
  warnings = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
});
afterEach(() => {
  warnings.mockRestore();
  for (const { name } of listEnvironments()) if (/Counter/.test(name)) unregister(name);
});

describe('names', () => {
  beforeEach(() => {
    for (const id of ['Counter-v1', 'Counter-v3', 'lab/Counter-v0', 'PlainCounter']) register(mine(id));
  });

  it('without a version mean the newest, with a warning', () => {
    expect(spec('Counter').id).toBe('Counter-v3');
    expect(warnings.mock.calls[0]![0]).toMatch(/latest version Counter-v3/);
    expect(spec('PlainCounter').id).toBe('PlainCounter');
  });

  it('of an old version work, with a warning', () => {
    expect(spec('Counter-v1').id).toBe('Counter-v1');
    expect(warnings.mock.calls[0]![0]).toMatch(/out of date; consider Counter-v3/);
    spec('Counter-v3');
    expect(warnings).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['Counter-v4', /no version 4 of Counter; use `Counter-v3`, `Counter-v1`/],
    ['Counter-v0', /no version 0 of Counter; use/],
    ['cartpole-v1', /Did you mean `CartPole-v1`/],
    ['CartPol-v1', /Did you mean `CartPole-v1`/],
    ['lb/Counter-v0', /unknown namespace `lb`. Did you mean `lab`.*imported the module/],
    ['lab/Conter-v0', /Did you mean `lab\/Counter-v0`/],
    ['Counter-v1!', /malformed environment id 'Counter-v1!'/],
    ['', /malformed/],
    [5 as never, /malformed environment id 5/],
    [5n as never, /malformed environment id 5n/],
  ])('%s is an error that helps', (id, message) => {
    expect(() => spec(id)).toThrow(message);
  });
});

describe('register', () => {
  it('warns of what it replaces', () => {
    register(mine('Counter-v0'));
    expect(warnings).not.toHaveBeenCalled();
    register(mine('Counter-v0', { description: 'other' }));
    expect(warnings.mock.calls[0]![0]).toMatch(/overriding environment Counter-v0/);
    expect(spec('Counter-v0').description).toBe('other');
  });

  it('refuses a name with and without a version, and one that nothing makes', () => {
    register(mine('Counter-v0'));
    register(mine('BareCounter'));
    expect(() => register(mine('Counter'))).toThrow(/Counter-v0 is registered/);
    expect(() => register(mine('BareCounter-v1'))).toThrow(/BareCounter is registered/);
    expect(() => register({ id: 'NoCounter-v0', description: '' })).toThrow(/create/);
    expect(() => register(mine('a b-v0'))).toThrow(/malformed/);
  });

  it('lists everything with a line for it and for each option', () => {
    const all = listEnvironments();
    const names = all.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['CartPole-v1', 'Denoising-v0', 'Bandit-v0']));
    expect(names).toEqual([...names].sort());
    for (const { name, summary, options } of all) {
      expect(summary.length, name).toBeGreaterThan(20);
      for (const line of Object.values(options)) expect(line.length).toBeGreaterThan(4);
    }
    register({ id: 'ListedCounter-v0', description: 'counts', create: () => new Counter(3) });
    expect(listEnvironments().find(({ name }) => name === 'ListedCounter-v0')).toStrictEqual({
      name: 'ListedCounter-v0',
      summary: 'counts',
      options: {},
    });
    expect(listEnvironments().find(({ name }) => name === 'CartPole-v1')).toMatchObject({
      options: { suttonBartoReward: 'reward 0 a step and -1 for the fall (default false)' },
      rewardThreshold: 475,
      maxEpisodeSteps: 500,
    });
  });
});

describe('make', () => {
  it('wraps a limit and the checks of order around the environment', async () => {
    const env = await make('CartPole-v1');
    expect(String(env)).toBe('<OrderEnforcing<TimeLimit<CartPole<CartPole-v1>>>>');
    expect(unwrapped(env)).toBeInstanceOf(CartPole);
    expect(findWrapper(env, TimeLimit)?.maxEpisodeSteps).toBe(500);
    expect(env.spec).toMatchObject({ id: 'CartPole-v1', rewardThreshold: 475, maxEpisodeSteps: 500, options: {} });
    expectTypeOf(env).toEqualTypeOf<Env<NdArray<Float32Array>, number>>();
  });

  it('takes another limit, none, and wrappers', async () => {
    const limit = async (maxEpisodeSteps: number | null) =>
      findWrapper(await make('CartPole-v1', {}, { maxEpisodeSteps }), TimeLimit)?.maxEpisodeSteps;
    expect([await limit(7), await limit(null)]).toEqual([7, undefined]);
    const env = await make('CartPole-v1', {}, { wrappers: [(inner) => new TimeLimit(inner, 3)] });
    expect(String(env)).toMatch(/^<TimeLimit<OrderEnforcing/);
  });

  it('hands options on and names those that it does not know', async () => {
    register(mine('Counter-v0'));
    const env = await make('Counter-v0', { length: 1 });
    env.reset();
    expect(env.step(0)).toMatchObject({ terminated: true });
    expect(env.spec!.options).toEqual({ length: 1 });
    await expect(make('Counter-v0', { lenght: 1 })).rejects.toThrow(/unknown option `lenght`. Did you mean `length`/);
  });

  it("is typed by a user's declaration", async () => {
    register(mine('TypedCounter-v0'));
    const env = await make('TypedCounter-v0', { length: 2 });
    expectTypeOf(env).toEqualTypeOf<Env<NdArray<Float32Array>, number>>();
    // @ts-expect-error an option of another type
    const wrong = make('TypedCounter-v0', { length: 'two' });
    expect(unwrapped(await wrong)).toBeInstanceOf(Counter);
  });

  it('says what was being made when that fails', async () => {
    register(
      mine('Counter-v0', {
        create: () => {
          throw new Error('no such disk');
        },
      }),
    );
    await expect(make('Counter-v0', { length: 2 })).rejects.toThrow(/make Counter-v0: .*{ length: 2 }: no such disk/);
    await expect(make('Counter-v0', { length: 2n })).rejects.toThrow(/{ length: 2n }: no such disk/);
    await expect(make('Counter-v0', null as never)).rejects.toThrow(/options must be an object.*null/);
    await expect(make('Denoising-v0')).rejects.toThrow(/makeVec\('Denoising-v0'/);
  });

  it('imports a module first when the id names one', async () => {
    await expect(make('no-such-package:Counter-v0')).rejects.toThrow(/environment no-such-package: cannot be loaded: /);
    const env = await make('./test/envs/registers-counter.ts:ModuleCounter-v0');
    expect(unwrapped(env)).toBeInstanceOf(Counter);
  });
});

describe('a maker', () => {
  it.each([
    [undefined, /make Counter-v0: what `create`.*undefined has no observationSpace, actionSpace, reset, step/],
    [{}, /make Counter-v0: .*{} has no observationSpace/],
    [{ ...new Counter(1), reset: () => {} }, /has no step\./],
    [Object.freeze(new Counter(1)), /`spec` of .* cannot be set/],
  ])('that gives %o is named', async (env, message) => {
    register(mine('Counter-v0', { create: () => env as never }));
    await expect(make('Counter-v0')).rejects.toThrow(message);
    await expect(make('Counter-v0')).rejects.toMatchObject({ code: 'E_CONFIG' });
  });

  it('that fails leaves none open of those that were made before', async () => {
    const made: Counter[] = [];
    register(
      mine('Counter-v0', {
        create: () => {
          if (made.length === 2) throw new Error('no more');
          made.push(new Counter(1));
          return made.at(-1)!;
        },
      }),
    );
    await expect(makeVec('Counter-v0', 3)).rejects.toThrow(/no more/);
    expect(made.map((env) => env.closed)).toEqual([1, 1]);
    await expect(makeVec('Counter-v0', 2, {}, { autoreset: 'always' as never })).rejects.toThrow(/no more/);
  });
});

describe('makeVec', () => {
  it('makes as many as asked for, with the autoreset asked for', async () => {
    const env = await makeVec('CartPole-v1', 3, {}, { autoreset: 'same-step', maxEpisodeSteps: 2 });
    expect([env.numEnvs, env.autoreset, env.spec?.id]).toEqual([3, 'same-step', 'CartPole-v1']);
    await env.reset({ seed: 0 });
    await env.step([0, 0, 0]);
    expect([...(await env.step([1, 1, 1])).truncated]).toEqual([1, 1, 1]);
    expectTypeOf(env).toEqualTypeOf<VectorEnv<NdArray<Float32Array>, number>>();
    expect((await makeVec('CartPole-v1', 1)).autoreset).toBe('next-step');
    await expect(makeVec('CartPole-v1', 0)).rejects.toThrow(/numEnvs/);
  });

  it('prefers a native vector environment', async () => {
    const options = { timesteps: [1], latentShape: [2, 2, 3] as const, prompts: ['a'], reward: () => [0, 0] };
    const env = await makeVec('Denoising-v0', 2, options);
    expectTypeOf(env).toEqualTypeOf<Denoising>();
    expect([env.numEnvs, env.horizon, env.spec?.id]).toEqual([2, 1, 'Denoising-v0']);
    await expect(makeVec('Denoising-v0', 2, options, { autoreset: 'next-step' })).rejects.toThrow(/'disabled'/);
    await expect(makeVec('Denoising-v0', 2, options, { maxEpisodeSteps: 3 })).rejects.toThrow(/natively/);
    await expect(makeVec('Denoising-v0', 2, { ...options, propmts: [] } as never)).rejects.toThrow(/`prompts`/);
  });
});
