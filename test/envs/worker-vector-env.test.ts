import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest';
import { type NdArray, stack } from '../../core/ndarray.js';
import { packed } from '../../core/packed.js';
import {
  type Autoreset,
  flatten,
  makeVec,
  makeWorkerVec,
  type VectorEnv,
  type VectorStepResult,
  type WorkerVectorEnv,
} from '../../envs/index.js';
import { bundled, unbundled } from '../../envs/worker-protocol.js';

type Obs = NdArray<Float32Array>;
type Counters = WorkerVectorEnv<Obs, number>;
const here = './test/envs/registers-counter.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const env of open.splice(0)) await env.close();
});
async function counters(
  id: string,
  n: number,
  make?: Parameters<typeof makeWorkerVec>[3],
  options = {},
): Promise<Counters> {
  const env = (await makeWorkerVec(`${here}:${id}`, n, options, make)) as Counters;
  open.push(env);
  return env;
}
const values = (observations: Obs[]) => observations.map((o) => o.data[0]);

describe('WorkerVectorEnv', () => {
  it.each<[Autoreset, number]>([
    ['next-step', 2],
    ['same-step', 1],
    ['disabled', 1],
  ])('gives what a SyncVectorEnv gives (%s, %i threads)', async (autoreset, workers) => {
    const threads = await makeWorkerVec('CartPole-v1', 5, {}, { workers, autoreset, maxEpisodeSteps: 12 });
    open.push(threads);
    expectTypeOf(threads).toEqualTypeOf<WorkerVectorEnv<Obs, number>>();
    const one = await makeVec('CartPole-v1', 5, {}, { autoreset, maxEpisodeSteps: 12 });
    expect(threads.observationSpace.equals(one.observationSpace)).toBe(true);
    expect(threads.spec).toEqual(one.spec);
    expect(await threads.reset({ seed: 3 })).toEqual(await one.reset({ seed: 3 }));
    for (let t = 0; t < 40; t++) {
      const actions = [0, 1, 0, 1, 1].map((a, i) => (t % (i + 2) === 0 ? 1 - a : a));
      const got = await threads.step(actions);
      expect(got).toEqual(await one.step(actions));
      const mask = got.terminated.map((end, i) => end | got.truncated[i]!);
      if (autoreset === 'disabled' && mask.includes(1))
        expect(await threads.reset({ mask })).toEqual(await one.reset({ mask }));
    }
    const saved = await threads.snapshot!();
    const next = await threads.step([1, 1, 1, 1, 1]);
    await threads.restore!(saved);
    expect(await threads.step([1, 1, 1, 1, 1])).toEqual(next);
  });

  it('takes environments of a module, renders them, says which threw, and goes on', async () => {
    const env = await counters('ModuleCounter-v0', 3, { workers: 2 }, { length: 4 });
    await env.reset({ seed: [1, undefined, 3], options: { x: 1 } });
    await env.step([0, 0, 0]);
    expect(await env.render!()).toEqual(['t = 1', 't = 1', 't = 1']);
    const more = [await env.step([0, 0, 0]), await env.step([0, 0, 0]), await env.step([0, 0, 0])];
    expect([...more[2]!.terminated]).toEqual([1, 1, 1]);
    await env.step([0, 0, 0]);
    expect(String(env)).toMatch(/WorkerVectorEnv\(3, ModuleCounter-v0, 2 workers, next-step\)/);
    await expect(env.step([0, 0, 99])).rejects.toThrow(
      /environments 1 to 2: SyncVectorEnv: environment 1: that is too much/,
    );
    expect(values((await env.reset()).observations)).toEqual([0, 0, 0]);
    await env.step([0, 0, 0]);
    await expect(env.step([0, 0, 99])).rejects.toThrow(/at test\/envs\/counter.ts:\d+:\d+/);
  });

  it('has the space of the environments in it, whatever the keys of its Dicts', async () => {
    const threads = await counters('NumberedCounter-v0', 1, { workers: 1 });
    const one = await makeVec(`${here}:NumberedCounter-v0`, 1);
    expect(threads.observationSpace.equals(one.observationSpace as never)).toBe(true);
    const [first, there] = [await one.reset(), await threads.reset()];
    expect(flatten(threads.observationSpace, there.observations[0]!)).toEqual(
      flatten(one.observationSpace, first.observations[0]!),
    );
  });

  it('carries large observations that are parts of a buffer, and leaves them whole in the thread', async () => {
    const env = await counters('LargeCounter-v0', 2, { workers: 1, autoreset: 'disabled' });
    await env.reset();
    for (let t = 1; t < 4; t++) {
      const { observations, infos } = await env.step([0, 0]);
      expect(observations[1]!.data.length).toBe(2000);
      expect(stack(observations).data.buffer).toBe(observations[0]!.data.buffer); // one message, no copy after it
      expect([observations[1]!.data[1999], (infos[0] as { again: Obs }).again.data[5]]).toEqual([t, t]);
    }
  });

  it('fails clearly when a thread dies, and stays failed', async () => {
    const env = await counters('CrashingCounter-v0', 1, { workers: 1 });
    await env.reset();
    await expect(env.step([7])).rejects.toThrow(/thread of environments 0 to 0 died: it exited with code 3.*'replace'/);
    await expect(env.step([0])).rejects.toThrow(/died/);
    await env.close();
    await expect(env.reset()).rejects.toThrow(/closed/);
  });

  it('replaces a thread that died: its episodes are truncated and begin anew', async () => {
    const env = await counters('CrashingCounter-v0', 2, { workers: 2, onCrash: 'replace' });
    await env.reset();
    await env.step([0, 0]);
    const crash = await env.step([0, 7]);
    expect([values(crash.observations), [...crash.rewards], [...crash.truncated]]).toEqual([
      [2, 1],
      [2, 0],
      [0, 1],
    ]);
    expect(crash.infos[1]).toEqual({ crashed: 'it exited with code 3' });
    const reset = await env.step([0, 0]);
    expect([values(reset.observations), [...reset.rewards], [...reset.truncated]]).toEqual([
      [3, 0],
      [3, 0],
      [0, 0],
    ]);
    expect(values((await env.step([0, 0])).observations)).toEqual([4, 1]);
  });

  it('replaces under same-step and disabled as these modes end episodes', async () => {
    const same = await counters('CrashingCounter-v0', 1, { workers: 1, onCrash: 'replace', autoreset: 'same-step' });
    await same.reset();
    await same.step([0]);
    const { observations, truncated, infos } = await same.step([7]);
    expect([values(observations), [...truncated]]).toEqual([[0], [1]]);
    expect(infos[0]).toMatchObject({
      finalObservation: { data: Float32Array.of(1) },
      finalInfo: { crashed: expect.stringMatching(/code 3/) },
    });
    const disabled = await counters('CrashingCounter-v0', 1, { workers: 1, onCrash: 'replace', autoreset: 'disabled' });
    await disabled.reset();
    await disabled.step([7]);
    await expect(disabled.step([0])).rejects.toThrow(/environments 0 have ended/);
    expect(values((await disabled.reset({ mask: Uint8Array.of(1) })).observations)).toEqual([0]);
  });

  const lost = (env: Counters) => (env.step as (actions: number[]) => Promise<unknown>)([8, 8, 0, 0]).then(sleep);
  const sleep = () => new Promise((resolve) => setTimeout(resolve, 200));
  /** Environments 0 and 1 in one thread, 2 and 3 in another. */
  const pairs = (autoreset: Autoreset = 'next-step', options = {}) =>
    counters('CrashingCounter-v0', 4, { workers: 2, onCrash: 'replace', autoreset }, options);
  const ends = ({ observations, rewards, truncated, infos }: VectorStepResult<Obs>) => ({
    observations: values(observations),
    rewards: [...rewards],
    truncated: [...truncated],
    crashed: infos.map((info) => info.crashed !== undefined),
  });

  it('replaces a thread that died between calls, whatever call finds it', async () => {
    const env = await pairs();
    await env.reset();
    await lost(env);
    expect(values((await env.reset()).observations)).toEqual([0, 0, 0, 0]);
    await env.step([0, 0, 0, 0]);
    const saved = await env.snapshot!();
    await lost(env);
    await expect(env.snapshot!()).rejects.toThrow(/0 to 1 died: .*code 5; the next step\(\) or reset\(\) puts another/);
    await expect(env.render!()).rejects.toThrow(/puts another in its place/);
    expect(values((await env.restore!(saved)).observations)).toEqual([1, 1, 1, 1]);
    expect(values((await env.step([0, 0, 0, 0])).observations)).toEqual([2, 2, 2, 2]);
    await lost(env);
    expect(ends(await env.step([0, 0, 0, 0]))).toMatchObject({
      observations: [3, 3, 4, 4],
      truncated: [1, 1, 0, 0],
      crashed: [true, true, false, false],
    });
  });

  it('replaces a thread that dies at its first reset, and gives up on what kills them all', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'crash-'));
    const at = join(folder, 'at');
    for (const autoreset of ['same-step', 'next-step'] as const) {
      const env = await pairs(autoreset, { at });
      await env.reset();
      await writeFile(at, '');
      const cut = await env.step([7, 0, 0, 0]);
      expect([...cut.truncated]).toEqual([1, 1, 0, 0]);
      const next = await env.step([0, 0, 0, 0]);
      if (autoreset === 'same-step') expect(ends(next)).toMatchObject({ observations: [1, 1, 2, 2] });
      // its successor died at the reset that this step was, and the one after it must not count the end twice
      else expect(ends(next)).toMatchObject({ observations: [0, 0, 2, 2], truncated: [0, 0, 0, 0] });
    }
    await rm(folder, { recursive: true });
    const env = await pairs();
    await env.reset();
    await expect(env.reset({ options: { crash: true } })).rejects.toThrow(/died: .*code 3, and so did 3 before it/);
    expect(values((await env.reset()).observations)).toEqual([0, 0, 0, 0]);
  }, 180_000);

  it('resets what was due to be reset when its thread died, and does not end it twice', async () => {
    const env = await pairs('next-step', { length: 2 });
    await env.reset();
    await env.step([0, 0, 0, 0]);
    await env.reset({ mask: Uint8Array.of(1, 0, 1, 1) });
    expect([...(await env.step([0, 0, 0, 0])).terminated]).toEqual([0, 1, 0, 0]);
    expect(ends(await env.step([7, 0, 0, 0]))).toEqual({
      observations: [1, 0, 2, 2],
      rewards: [0, 0, 2, 2],
      truncated: [1, 0, 0, 0],
      crashed: [true, false, false, false],
    });
    expect(ends(await env.step([0, 0, 0, 0]))).toEqual({
      observations: [0, 1, 0, 0],
      rewards: [0, 1, 0, 0],
      truncated: [0, 0, 0, 0],
      crashed: [false, false, false, false],
    });
  });

  it('resets after a crash those of the mask alone', async () => {
    const env = await pairs('disabled');
    await env.reset();
    await env.step([7, 0, 0, 0]);
    await env.reset({ mask: Uint8Array.of(1, 0, 0, 0) });
    await expect(env.step([0, 0, 0, 0])).rejects.toThrow(/episodes of environments 1 have ended/);
    expect(values((await env.reset({ mask: Uint8Array.of(0, 1, 0, 0) })).observations)).toEqual([0, 0, 1, 1]);
    expect(values((await env.step([0, 0, 0, 0])).observations)).toEqual([1, 1, 2, 2]);
  });

  it.each([
    'disabled',
    'next-step',
  ] as const)('truncates an episode that a masked reset spared, when the thread was lost (%s)', async (autoreset) => {
    const env = await pairs(autoreset);
    await env.reset();
    await lost(env);
    expect(values((await env.reset({ mask: Uint8Array.of(1, 0, 0, 0) })).observations)).toEqual([0, 1, 1, 1]);
    expect(ends(await env.step([0, 0, 0, 0]))).toMatchObject({
      observations: [0, 1, 2, 2],
      truncated: [1, 1, 0, 0],
      crashed: [true, true, false, false],
    });
  });

  it.each(['replace', 'error'] as const)('is closed in the middle of a call, which says so (%s)', async (onCrash) => {
    const env = await counters('SlowCounter-v0', 2, { workers: 2, onCrash });
    await env.reset();
    const step = expect(env.step([0, 0])).rejects.toThrow(/it is closed/);
    await env.close();
    await step;
  });

  it('refuses what is nothing of the kind, and goes on', async () => {
    const env = await counters('ModuleCounter-v0', 2, { workers: 1 });
    await env.reset();
    await expect(env.step(undefined as never)).rejects.toThrow(/undefined is no list of actions/);
    await expect(env.reset(null as never)).rejects.toThrow(/options must be an object/);
    await expect(env.reset({ seed: null } as never)).rejects.toThrow(/seed must be an integer.*null/);
    await expect(env.reset({ mask: Uint8Array.of(0, 0) })).rejects.toThrow(
      /mask .*actual value Uint8Array\(2\) \[ 0, 0 \]/,
    );
    for (const none of [null, {}, []]) await expect(env.restore!(none)).rejects.toThrow(/no workers, ended/);
    const error = { code: 'E_VALUE', message: expect.stringMatching(/must be plain data and arrays/) };
    await expect(env.step([() => 1, 0] as never)).rejects.toMatchObject(error);
    await expect(env.reset({ options: { f: () => 1 } })).rejects.toMatchObject(error);
    const other = await counters('ModuleCounter-v0', 2, { workers: 1, autoreset: 'same-step' });
    await expect(other.restore!(await env.snapshot!())).rejects.toThrow(/snapshot is of autoreset 'next-step'/);
    expect(values((await env.step([0, 0])).observations)).toEqual([1, 1]);
    const wrappers = [(inner: unknown) => inner];
    await expect(makeWorkerVec('CartPole-v1', 2, {}, { wrappers } as never)).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringMatching(/`wrappers` are functions/),
    });
    await expect(counters('NativeCounter-v0', 2, { onCrash: 'replace' })).rejects.toThrow(/cannot be replaced/);
  });

  it('refuses what cannot be', async () => {
    await expect(makeWorkerVec('CartPol-v1', 2)).rejects.toThrow(/^registry: .* Did you mean `CartPole-v1`/);
    await expect(makeWorkerVec('CartPole-v1', 0)).rejects.toThrow(/numEnvs/);
    await expect(makeWorkerVec('CartPole-v1', 2, {}, { workers: 0 })).rejects.toThrow(/workers/);
    await expect(makeWorkerVec('CartPole-v1', 2, {}, { onCrash: 'retry' as 'replace' })).rejects.toThrow(/onCrash/);
    await expect(makeWorkerVec('Any-v0', 2, { f: () => 1 })).rejects.toThrow(/plain data/);
    const env = await counters('ModuleCounter-v0', 2, { workers: 1 });
    await expect(env.step([0, 0])).rejects.toThrow(/reset\(\) first/);
    await expect(env.reset({ mask: Uint8Array.of(1, 0) })).rejects.toThrow(/must be of all/);
    await env.reset();
    await expect(env.step([0])).rejects.toThrow(/1 actions for 2/);
    await expect(env.reset({ seed: [1] })).rejects.toThrow(/1 seeds/);
    await expect(env.reset({ mask: Uint8Array.of(0, 0) })).rejects.toThrow(/at least one 1/);
    const first = env.step([0, 0]);
    await expect(env.step([0, 0])).rejects.toThrow(/step\(\) has not ended/);
    await first;
    expectTypeOf(env).toExtend<VectorEnv<Obs, number>>();
  });
});

it('packed copies what is large or a part, and nothing else', () => {
  const buffer = new Float32Array(4000);
  const whole = Float32Array.of(1, 2);
  const shared = new Float32Array(new SharedArrayBuffer(16_000));
  const { message, transfer } = packed({
    ...{ part: buffer.subarray(0, 3), large: [buffer], whole, shared, text: 'x', none: null },
  });
  expect(message.shared).toBe(shared);
  expect(message.whole).toBe(whole);
  expect(message.part.buffer.byteLength).toBe(12);
  expect(message.large[0]).not.toBe(buffer);
  expect(transfer).toEqual([message.large[0]!.buffer]);
  expect([message.text, message.none]).toEqual(['x', null]);
});

it('bundled observations and infos come back as they were', () => {
  const of = (...values: number[]) => ({ data: Float32Array.from(values), shape: [values.length] });
  const results = [
    { observations: [of(1, 2), of(3, 4)], infos: [{}, {}] },
    { observations: [of(1, 2), of(3)], infos: [{}, { t: 1 }] },
    { observations: [of(1), { data: Float64Array.of(1), shape: [1] }], infos: [{}, {}] },
    { observations: [3, 'x'], infos: [{ a: of(1) }, {}] },
  ];
  for (const result of results) expect(unbundled(bundled(result))).toEqual(result);
  expect(bundled(results[0]!)).toEqual({
    observations: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] },
    infos: 2,
  });
});
