import { describe, expect, it } from 'vitest';
import { GymError } from '../../../core/errors.js';
import { type NdArray, ndarray, stack } from '../../../core/ndarray.js';
import type { RewardBatch } from '../../../core/reward.js';
import {
  Denoising,
  type DenoisingObservation,
  type DenoisingOptions,
  identityDecode,
  promptGenerator,
  promptList,
} from '../../../envs/denoising/index.js';
import type { VectorStepResult } from '../../../envs/vector-env.js';

const brightness = ({ images }: RewardBatch) => {
  const n = images.shape[0]!;
  const size = images.data.length / n;
  return Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += images.data[i * size + k]!;
    return sum / size;
  });
};

const make = (options: Partial<DenoisingOptions> = {}) =>
  new Denoising({
    timesteps: [801, 401, 1],
    latentShape: [4, 5, 3],
    initNoiseSigma: 2,
    prompts: ['a', 'b', 'c', 'd', 'e', 'f'],
    reward: brightness,
    numEnvs: 2,
    seed: 7,
    ...options,
  });

const constant = (env: Denoising, value: number): NdArray<Float32Array>[] =>
  Array.from({ length: env.numEnvs }, () => ndarray(new Float32Array(60).fill(value), [4, 5, 3]));

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (GymError.is(error)) return error.code;
    throw error;
  }
  return 'nothing thrown';
};

describe('a batch', () => {
  it('observes timesteps that are no integers as the nearest ones', async () => {
    const env = make({ timesteps: [960.129, 8.929] });
    const { observations } = env.reset();
    expect(observations[0]!.timestep).toBe(960);
    expect(env.observationSpace.contains(observations[0]!)).toBe(true);
  });

  it('goes through the timesteps in lockstep and ends with the reward', async () => {
    const env = make();
    const { observations } = env.reset();
    expect(observations.map(({ timestep, step }) => [timestep, step])).toEqual([
      [801, 0],
      [801, 0],
    ]);
    const trace: [number, number, number, number][] = [];
    let result: VectorStepResult<DenoisingObservation> | undefined;
    for (let t = 0; t < env.horizon; t++) {
      const returned = env.step(constant(env, t === 2 ? 1 : 0));
      expect(returned instanceof Promise).toBe(t === 2); // earlier steps pay for no promise
      result = await returned;
      const { timestep, step } = result.observations[0]!;
      trace.push([timestep, step, result.rewards[1]!, result.terminated[1]!]);
    }
    expect(trace).toEqual([
      [401, 1, 0, 0],
      [1, 2, 0, 0],
      [0, 3, 255, 1],
    ]);
    expect([...result!.truncated]).toEqual([0, 0]);
  });

  it("observes the action's own arrays: views of one buffer stack without a copy", () => {
    const env = make();
    env.reset();
    const buffer = new Float32Array(120);
    const actions = [ndarray(buffer.subarray(0, 60), [4, 5, 3]), ndarray(buffer.subarray(60), [4, 5, 3])];
    const { observations } = env.step(actions) as VectorStepResult<DenoisingObservation>;
    expect(observations[1]!.latents.data).toBe(actions[1]!.data);
    expect(stack(observations.map((o) => o.latents)).data.buffer).toBe(buffer.buffer);
    expect(stack(env.reset().observations.map((o) => o.latents)).data.length).toBe(120);
  });

  it('says on the last step what was scored, and what the reward said beside it', async () => {
    const env = make({
      timesteps: [1],
      prompts: promptList([{ prompt: 'x', metadata: { id: 3 } }]),
      reward: ({ metadata, prompts }) => ({
        scores: metadata!.map((m) => (m as { id: number }).id),
        details: { length: prompts.map((p) => p.length) },
      }),
    });
    expect(env.reset({ options: { batch: 5 } }).infos[1]).toEqual({ episodeNumber: 11, metadata: { id: 3 } });
    const { infos, rewards } = await env.step(constant(env, -1));
    expect([...rewards]).toEqual([3, 3]);
    const { image, ...rest } = infos[1] as { image: NdArray };
    expect(rest).toEqual({ prompt: 'x', episodeNumber: 11, rewardTerms: { length: 1 }, metadata: { id: 3 } });
    expect(image.shape).toEqual([4, 5, 3]);
    expect(image.data).toEqual(new Uint8Array(60));
  });

  it('gives members of its spaces, at the start, within and at the end', async () => {
    const env = make();
    expect(env.reset().observations.every((o) => env.observationSpace.contains(o))).toBe(true);
    for (let t = 0; t < 3; t++) {
      const actions = [env.actionSpace.sample(), env.actionSpace.sample()];
      const { observations } = await env.step(actions);
      expect(observations.every((o) => env.observationSpace.contains(o))).toBe(true);
    }
  });
});

describe('episodes', () => {
  const facts = (env: Denoising, batch: number, seed?: number) =>
    env.reset({ seed, options: { batch } }).observations.map(({ latents, prompt, noiseSeed }) => ({
      latents: [...latents.data],
      prompt,
      noiseSeed,
    }));

  it('depend on the seed and their number alone, not on how many run together', () => {
    const two = make({ numEnvs: 2 });
    const six = facts(make({ numEnvs: 6 }), 1);
    expect([...facts(two, 3), ...facts(two, 4), ...facts(two, 5)]).toEqual(six);
    expect(new Set(six.map((e) => e.noiseSeed)).size).toBe(6);
    expect(facts(make({ seed: 8 }), 3)).not.toEqual(facts(two, 3));
    expect(facts(make({ seed: 8 }), 3, 7)).toEqual(facts(two, 3));
  });

  it('go on with the next batch, from 0 at first and after a seed', () => {
    const env = make();
    const batchOf = (options?: Parameters<Denoising['reset']>[0]) => env.reset(options).infos[0]!.episodeNumber;
    expect([batchOf(), batchOf(), batchOf({ options: { batch: 9 } }), batchOf(), batchOf({ seed: 1 })]).toEqual([
      0, 2, 18, 20, 0,
    ]);
  });

  it('start from noise of the standard deviation that the scheduler asks for', () => {
    const env = make({ numEnvs: 200 });
    const x = [...stack(env.reset().observations.map((o) => o.latents)).data];
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const std = Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length);
    expect(Math.abs(mean)).toBeLessThan(0.08); // 4 standard errors of 12000 draws
    expect(Math.abs(std - 2)).toBeLessThan(0.06);
  });

  it('take prompts from a generator with a stream of its own', () => {
    const prompts = promptGenerator((episode, random) => `${episode}: ${random.integer(1000)}`);
    const [first, second] = [make({ prompts }), make({ prompts, numEnvs: 4 })];
    expect(
      second
        .reset()
        .observations.slice(2)
        .map((o) => o.prompt),
    ).toEqual(first.reset({ options: { batch: 1 } }).observations.map((o) => o.prompt));
  });
});

describe('a slow reward', () => {
  it('may be pending while the next batch runs, and scores the batch it was asked about', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const env = make({
      timesteps: [1],
      reward: async (batch) => {
        await gate;
        return brightness(batch);
      },
    });
    env.reset();
    const first = env.step(constant(env, 1));
    const { infos } = env.reset();
    expect(infos[0]!.episodeNumber).toBe(2);
    const second = env.step(constant(env, -1));
    release();
    const [a, b] = await Promise.all([first, second]);
    expect([a.rewards[0], b.rewards[0]]).toEqual([255, 0]);
    expect([a.infos[0]!.episodeNumber, b.infos[0]!.episodeNumber]).toEqual([0, 2]);
  });

  it('is stopped by its time limit and by close', async () => {
    const never = () => new Promise<number[]>(() => {});
    const limited = make({ timesteps: [1], reward: never, rewardTimeoutMs: 20 });
    limited.reset();
    await expect(limited.step(constant(limited, 0))).rejects.toMatchObject({ code: 'E_REWARD' });
    const closed = make({ timesteps: [1], reward: never });
    closed.reset();
    const pending = closed.step(constant(closed, 0));
    closed.close();
    closed.close();
    await expect(pending).rejects.toMatchObject({ code: 'E_REWARD' });
    expect(codeOf(() => closed.reset())).toBe('E_STATE');
  });

  it('that fails rejects the last step, and the next batch is as it would have been', async () => {
    const env = make({ timesteps: [1], reward: () => [Number.NaN, 1] });
    env.reset();
    await expect(env.step(constant(env, 0))).rejects.toMatchObject({ code: 'E_REWARD' });
    expect(env.reset().infos[0]!.episodeNumber).toBe(2);
  });
});

describe('snapshot and restore', () => {
  it('go on with the same numbers in another environment', async () => {
    const env = make();
    env.reset({ options: { batch: 4 } });
    env.step(constant(env, 0.25));
    const other = make({ seed: 99 });
    const { observations, infos } = other.restore(env.snapshot());
    expect(observations[1]!.step).toBe(1);
    const next = [await env.step(constant(env, 1)), await other.step(constant(env, 1))];
    expect(next[1]).toEqual(next[0]);
    expect(infos[1]!.episodeNumber).toBe(9);
    expect(other.reset().observations).toEqual(env.reset().observations);
  });

  it('work before the first batch', () => {
    const other = make({ seed: 99 });
    other.reset();
    other.restore(make().snapshot());
    expect(other.reset().observations).toEqual(make().reset().observations);
  });

  it('refuse a snapshot of other samples', () => {
    const env = make();
    env.reset();
    expect(codeOf(() => make({ numEnvs: 3 }).restore(env.snapshot()))).toBe('E_STATE');
  });
});

describe('mistakes', () => {
  it('out of order are errors of state', async () => {
    const env = make({ timesteps: [1] });
    expect(codeOf(() => env.step(constant(env, 0)))).toBe('E_STATE');
    expect(codeOf(() => env.render())).toBe('E_STATE');
    env.reset();
    await env.step(constant(env, 0));
    expect(codeOf(() => env.step(constant(env, 0)))).toBe('E_STATE');
  });

  it('in actions name the sample and the step', () => {
    const env = make();
    env.reset();
    env.step(constant(env, 0));
    const good = constant(env, 0)[0]!;
    const tries: [NdArray, RegExp][] = [
      [ndarray(new Float64Array(60), [4, 5, 3]), /sample 1 at step 1 .*Float64Array/],
      [ndarray(new Float32Array(60), [5, 4, 3]), /\[5, 4, 3\]/],
      [{ data: new Float32Array(10), shape: [4, 5, 3] }, /10 elements/],
      [ndarray(new Float32Array(60).fill(Number.NaN, 7, 8), [4, 5, 3]), /sample 1 at step 1 has NaN at element 7/],
      [ndarray(new Float32Array(60).fill(Number.NEGATIVE_INFINITY), [4, 5, 3]), /-Infinity at element 0/],
      [5 as unknown as NdArray, /actual value 5/],
    ];
    for (const [bad, message] of tries) expect(() => env.step([good, bad as NdArray<Float32Array>])).toThrow(message);
    expect(() => env.step([good])).toThrow(/1 actions for 2 environments/);
    expect((env.step([good, good]) as VectorStepResult<DenoisingObservation>).observations[0]!.step).toBe(2);
  });

  it('in reset are named', () => {
    const env = make();
    expect(() => env.reset({ options: { bach: 1 } })).toThrow(/bach/);
    expect(() => env.reset({ options: { batch: -1 } })).toThrow(/-1/);
    expect(() => env.reset({ seed: [1, 2] })).toThrow(/one seed/);
    expect(() => env.reset({ mask: Uint8Array.of(1, 0) })).toThrow(/lockstep/);
    expect(() => env.reset({ mask: Uint8Array.of(1, 1) })).not.toThrow();
  });

  it('in options are named', () => {
    const tries: [Partial<DenoisingOptions>, RegExp][] = [
      [{ timesteps: [] }, /timesteps/],
      [{ timesteps: [-1] }, /timesteps/],
      [{ timesteps: [Number.NaN] }, /timesteps/],
      [{ latentShape: [4, 4, 4] }, /decode/],
      [{ latentShape: [4, 4] as unknown as [number, number, number] }, /latentShape/],
      [{ numEnvs: 0 }, /numEnvs/],
      [{ initNoiseSigma: 0 }, /initNoiseSigma/],
      [{ seed: -1 }, /seed/],
      [{ rewardTimeoutMs: 0 }, /rewardTimeoutMs/],
      [{ prompts: [] }, /empty/],
      [{ prompts: undefined }, /prompts/],
      [{ reward: 'jpeg' as unknown as DenoisingOptions['reward'] }, /reward/],
    ];
    for (const [options, message] of tries) expect(() => make(options)).toThrow(message);
  });

  it('of a decoder are named', async () => {
    const env = make({ timesteps: [1], decode: async (latents) => latents });
    env.reset();
    await expect(env.step(constant(env, 0))).rejects.toThrow(/uint8 \[2, H, W, 3\].*Float32Array/);
  });
});

describe('pictures', () => {
  it('of the default decoder are rounded and clamped as in diffusers', () => {
    const x = ndarray(Float32Array.of(-3, -1, 0, 0.5, 1, 2), [1, 1, 2, 3]);
    // ((x / 2 + .5).clip(0, 1) * 255).round().astype("uint8")
    expect([...identityDecode(x).data]).toEqual([0, 0, 128, 191, 255, 255]);
  });

  it('of the present latents are rendered, through a slow decoder too', async () => {
    const env = make({ decode: async (latents) => identityDecode(latents) });
    env.reset();
    env.step(constant(env, 1));
    const frames = await env.render();
    expect(frames.map((frame) => [frame.shape, frame.data[0]])).toEqual([
      [[4, 5, 3], 255],
      [[4, 5, 3], 255],
    ]);
  });
});
