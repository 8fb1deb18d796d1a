import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import type { Agent } from '../../../../agents/agent.js';
import { GymError } from '../../../../core/errors.js';
import { parseJson } from '../../../../core/json.js';
import type { Snapshot } from '../../../../core/snapshot.js';
import { fromJson, toJson } from '../../../../core/snapshot-json.js';
import { Denoising } from '../../../../envs/denoising/denoising.js';
import type { Env } from '../../../../envs/env.js';
import { type RandomSourceState, restoreRandomSource } from '../../../../envs/random-source.js';
import { make } from '../../../../envs/registry.js';
import { SyncVectorEnv } from '../../../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../../../envs/vector-env.js';
import {
  AutoresetWrapper,
  delayObservation,
  frameStackObservation,
  MaxAndSkipObservation,
  normalizeObservation,
  normalizeReward,
  recordEpisodeStatistics,
  stickyAction,
  timeAwareObservation,
  wrap,
} from '../../../../envs/wrappers/index.js';
import { Collector } from '../../../../training/collect/index.js';
import { jsonText, mutated, mutatedText, oddNames, oddNumbers } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

type AnyEnv = Env<unknown, unknown>;
type AnyVectorEnv = VectorEnv<unknown, unknown>;

const single: Readonly<Record<string, () => Promise<AnyEnv>>> = {
  CartPole: () => make('CartPole-v1') as Promise<AnyEnv>,
  'CartPole with NumPy': () => make('CartPole-v1', { random: 'numpy' }) as Promise<AnyEnv>,
  Acrobot: () => make('Acrobot-v1') as Promise<AnyEnv>,
  Pendulum: async () => wrap(wrap(await make('Pendulum-v1'), normalizeObservation()), normalizeReward()) as AnyEnv,
  MountainCar: async () =>
    wrap(wrap(await make('MountainCar-v0'), stickyAction(0.5)), recordEpisodeStatistics()) as AnyEnv,
  'frames of CartPole': async () => wrap(await make('CartPole-v1'), frameStackObservation(3)) as AnyEnv,
  'late CartPole': async () =>
    wrap(wrap(await make('CartPole-v1'), delayObservation(2)), timeAwareObservation()) as AnyEnv,
  'every other step of CartPole': async () =>
    new AutoresetWrapper(new MaxAndSkipObservation((await make('CartPole-v1')) as never)) as unknown as AnyEnv,
};

const singles = Object.keys(single);
const vectors = ['two CartPoles', 'Denoising', 'collector'] as const;

async function twoCartPoles(): Promise<AnyVectorEnv> {
  return new SyncVectorEnv([await single.CartPole!(), await single.CartPole!()]);
}

function denoising(): AnyVectorEnv {
  return new Denoising({
    timesteps: [3, 2, 1],
    latentShape: [2, 2, 3],
    prompts: ['a', 'b'],
    reward: ({ prompts }) => prompts.map(() => 1),
    numEnvs: 2,
  }) as AnyVectorEnv;
}

async function collector(): Promise<Collector<unknown, unknown>> {
  const env = await twoCartPoles();
  const agent = {
    collect: { steps: 3 },
    act: (observations: readonly unknown[]) => ({ actions: observations.map(() => 1) }),
  } as unknown as Agent<unknown, unknown>;
  return new Collector({ agent, envs: [env], seed: 1 });
}

/** A snapshot of each, in the middle of an episode, as a checkpoint has it. */
const taken = new Map<string, unknown>();

async function takeAll(): Promise<void> {
  const keep = (name: string, snapshot: Snapshot) => taken.set(name, JSON.parse(JSON.stringify(toJson(snapshot))));
  for (const [name, open] of Object.entries(single)) {
    const env = await open();
    await env.reset({ seed: 1 });
    env.actionSpace.seed(1);
    for (let t = 0; t < 4; t++) await env.step(env.actionSpace.sample());
    keep(name, await env.snapshot!());
  }
  const pair = await twoCartPoles();
  await pair.reset({ seed: 1 });
  for (let t = 0; t < 3; t++) await pair.step([0, 1]);
  keep('two CartPoles', await pair.snapshot!());
  const chain = denoising();
  const { observations } = await chain.reset();
  await chain.step(observations.map((o) => (o as { latents: unknown }).latents));
  keep('Denoising', await chain.snapshot!());
  const collecting = await collector();
  await collecting.collect();
  keep('collector', await collecting.state());
}

async function goOn(name: string, snapshot: Snapshot): Promise<void> {
  if (name === 'collector') {
    const collecting = await collector();
    await collecting.restore(snapshot);
    expectThat((await collecting.collect()).envSteps <= 6, 'more steps than environments');
    return;
  }
  if (name === 'two CartPoles' || name === 'Denoising') {
    const env = name === 'Denoising' ? denoising() : await twoCartPoles();
    const { observations, infos } = await env.restore!(snapshot);
    expectThat(infos.length === observations.length, 'not an info for each observation');
    if (name === 'Denoising') {
      if (observations.length > 0) await env.step(observations.map((o) => (o as { latents: unknown }).latents));
    } else for (let t = 0; t < 3; t++) await env.step([0, 1]);
    return;
  }
  const env = await single[name]!();
  const { info } = await env.restore!(snapshot);
  expectThat(typeof info === 'object', 'no info');
  env.actionSpace.seed(2);
  for (let t = 0; t < 5; t++) {
    const { reward, terminated, truncated } = await env.step(env.actionSpace.sample());
    expectThat(typeof reward === 'number', 'a reward is no number');
    if (terminated || truncated) await env.reset();
  }
}

/** Which one it is of, and the change: the snapshots themselves are there only after `prepare`. */
export const environments = target<{ name: string; text: string }>({
  name: 'snapshots of environments',
  inputs: 300,
  input: fc.constantFrom(...singles, ...vectors).chain((name) =>
    fc
      .constant(undefined)
      .chain(() =>
        fc.oneof(
          { weight: 5, arbitrary: mutated(taken.get(name), 2).map(jsonText) },
          { weight: 1, arbitrary: mutatedText(JSON.stringify(taken.get(name))) },
        ),
      )
      .map((text) => ({ name, text })),
  ),
  async check({ name, text }) {
    await goOn(name, fromJson(parseJson(text, 'state.json')));
  },
  prepare: takeAll,
});

const numpyState = { pcg64: { state: 'f', increment: '3' }, half: null };
const aleaState = { seed: '1', alea: { c: 1, s0: 0.5, s1: 0.25, s2: 0.125 }, spare: null };

/** A stream that is restored gives numbers in their range, and ends. */
export const streams = target<unknown>({
  name: 'states of random streams',
  inputs: 200,
  input: fc.oneof(
    fc.constantFrom<unknown>(numpyState, aleaState).chain((state) => mutated(state, 4)),
    fc.record({
      seed: fc.string(),
      spare: fc.constantFrom(null, 0, 1.5),
      alea: fc.record({
        c: fc.oneof(fc.constantFrom(...oddNumbers, 2091638, 2091639), fc.integer({ min: 0, max: 2091638 })),
        s0: fc.oneof(
          fc.constantFrom(...oddNumbers, 1 - 2 ** -32),
          fc.integer({ min: 0 }).map((n) => n / 2 ** 32),
        ),
        s1: fc.oneof(
          fc.constantFrom(...oddNumbers, 1 - 2 ** -32),
          fc.integer({ min: 0 }).map((n) => n / 2 ** 32),
        ),
        s2: fc.oneof(
          fc.constantFrom(...oddNumbers, 1 - 2 ** -32),
          fc.integer({ min: 0 }).map((n) => n / 2 ** 32),
        ),
      }),
    }),
  ),
  check(state) {
    const stream = restoreRandomSource(state as RandomSourceState);
    for (let i = 0; i < 10; i++) {
      const x = stream.next();
      expectThat(x >= 0 && x < 1, `${x} is not in [0, 1)`);
      expectThat(Number.isFinite(stream.normal()), 'a normal is not finite');
      expectThat(Number.isInteger(stream.integer(6)), 'an integer is none');
    }
  },
});

const { snapshot } = fc.letrec<{ snapshot: Snapshot }>((tie) => ({
  snapshot: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.string(),
      fc.double(),
      fc.constantFrom(...oddNumbers),
      fc.float32Array({ maxLength: 4 }).map((data) => ({ data, shape: [data.length] })),
      fc.uint8Array({ maxLength: 4 }).map((data) => ({ data: Buffer.from(data), shape: [1, data.length] })),
      fc
        .float64Array({ minLength: 2, maxLength: 6 })
        .map((data) => ({ data: data.subarray(1), shape: [data.length - 1] })),
    ),
    fc.array(tie('snapshot'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...oddNames, '$$array'), fc.string()), tie('snapshot'), { maxKeys: 4 }),
  ),
}));

/** The same value, but for the class of a buffer: arrays come back as the plain typed arrays of their kind. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Buffer.isBuffer(value)) return Uint8Array.from(value);
  if (ArrayBuffer.isView(value)) return (value as Float32Array).slice();
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}

/** What is saved in a checkpoint is what is read from it, bit for bit. */
export const roundTrips = target<Snapshot>({
  name: 'snapshots that are written',
  inputs: 150,
  input: snapshot,
  check(value) {
    let back: Snapshot;
    try {
      back = fromJson(JSON.parse(JSON.stringify(toJson(value))));
    } catch (error) {
      throw GymError.is(error) ? new Error(`a snapshot is refused: ${error.message}`) : error;
    }
    expectThat(isDeepStrictEqual(plain(back), plain(value)), 'another one is read');
  },
});
