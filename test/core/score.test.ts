import { describe, expect, it } from 'vitest';
import { GymError } from '../../core/errors.js';
import { ndarray } from '../../core/ndarray.js';
import type { RewardBatch, RewardLike, ScoreBatch } from '../../core/reward.js';
import { longestTimeoutMs, scoreImages } from '../../core/score.js';

const batch = (n = 3, signal?: AbortSignal): ScoreBatch => ({
  images: ndarray(new Uint8Array(n * 4 * 4 * 3), [n, 4, 4, 3]),
  prompts: Array.from({ length: n }, (_, i) => `prompt ${i}`),
  signal,
});
const reward = (answer: unknown): RewardLike => ({ name: 'toy', score: () => answer as never });

async function failure(promise: Promise<unknown>): Promise<GymError> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(GymError.is(error), String(error)).toBe(true);
  return error as GymError;
}

describe('scoreImages', () => {
  it('takes a function or an object, an array or scores with details, now or later', async () => {
    const expected = { scores: Float64Array.of(0, 1, 2), details: {}, notes: {} };
    expect(await scoreImages(({ prompts }) => prompts.map((_, i) => i), batch())).toEqual(expected);
    expect(await scoreImages(reward(Float32Array.of(0, 1, 2)), batch())).toEqual(expected);
    expect(await scoreImages(reward(Promise.resolve([0, 1, 2])), batch())).toEqual(expected);
    const detailed = await scoreImages(
      reward({ scores: [0, 1, 2], details: { shape: [1, Number.NaN, 0] }, notes: { said: ['a', '', 'c'] } }),
      batch(),
    );
    expect(detailed).toEqual({
      scores: expected.scores,
      details: { shape: Float64Array.of(1, Number.NaN, 0) },
      notes: { said: ['a', '', 'c'] },
    });
  });

  it('keeps `this` of an object', async () => {
    class Constant {
      readonly name = 'constant';
      value = 7;
      score({ prompts }: RewardBatch) {
        return prompts.map(() => this.value);
      }
    }
    expect((await scoreImages(new Constant(), batch(2))).scores).toEqual(Float64Array.of(7, 7));
  });

  it('copies: what the reward does with its array later changes nothing', async () => {
    const own = Float64Array.of(1, 2, 3);
    const { scores } = await scoreImages(reward(own), batch());
    own.fill(0);
    expect(scores).toEqual(Float64Array.of(1, 2, 3));
  });

  it.each([
    ['wrong length', [1, 2], /`toy`: scores: 2 numbers for 3 images/],
    ['notes of the wrong length', { scores: [1, 2, 3], notes: { a: ['x'] } }, /notes\.a: 1 values for 3 images/],
    ['a note that is no text', { scores: [1, 2, 3], notes: { a: ['x', 2, 'z'] } }, /notes\.a: 3 values for 3 images/],
    ['details of the wrong length', { scores: [1, 2, 3], details: { a: [1] } }, /`toy`: details\.a: 1 numbers for 3/],
    ['NaN', [1, Number.NaN, Number.NaN], /`toy`: sample 1 \(prompt "prompt 1"\) got NaN \(2 of 3/],
    ['Infinity', [1, 2, Number.POSITIVE_INFINITY], /sample 2 \(prompt "prompt 2"\) got Infinity/],
    ['text in place of a number', [1, '2', 3], /sample 1 \(prompt "prompt 1"\) got the string "2"/],
    ['a hole', [1, undefined, 3], /sample 1 .* got undefined/],
    ['nothing', undefined, /`toy`: scores: undefined is not an array of numbers; return one/],
    ['a single number', 3, /3 is not an array/],
    ['a string', 'abc', /the string "abc" is not an array/],
    ['another object', new Map(), /an object \(Map\) is not an array/],
    ['scores that are none', { scores: 1 }, /`toy`: scores: 1 is not an array/],
  ])('refuses %s', async (_, answer, message) => {
    for (const given of [answer, Promise.resolve(answer)]) {
      const error = await failure(scoreImages(reward(given), batch()));
      expect(error.code).toBe('E_REWARD');
      expect(error.message).toMatch(message);
    }
  });

  it('names the reward and keeps the cause of a throw and of a rejection', async () => {
    const cause = new TypeError('no network');
    const thrower: RewardLike = {
      name: 'toy',
      score() {
        throw cause;
      },
    };
    for (const bad of [thrower, reward(Promise.reject(cause))]) {
      const error = await failure(scoreImages(bad, batch()));
      expect(error.code).toBe('E_REWARD');
      expect(error.message).toBe('reward `toy`: failed on a batch of 3 (first prompt "prompt 0"): no network');
      expect(error.cause).toBe(cause);
    }
  });

  it('ends the wait at the time-out and aborts the signal', async () => {
    let aborted: unknown;
    const slow: RewardLike = {
      name: 'slow',
      score: ({ signal }) => new Promise(() => signal?.addEventListener('abort', () => (aborted = signal.reason))),
    };
    const error = await failure(scoreImages(slow, batch(), { timeoutMs: 10 }));
    expect(error.message).toMatch(/`slow`: no answer for a batch of 3 .* within 10 ms/);
    expect(aborted).toBe(error);
    const quick: RewardLike = { name: 'quick', score: async () => [1, 2, 3] };
    expect((await scoreImages(quick, batch(), { timeoutMs: 1000 })).scores).toEqual(Float64Array.of(1, 2, 3));
  });

  it("ends the wait when the run's signal is aborted, before or during", async () => {
    const run = new AbortController();
    let asked = 0;
    const slow: RewardLike = {
      name: 'slow',
      score({ signal }) {
        asked += 1;
        return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('own abort'))));
      },
    };
    const pending = failure(scoreImages(slow, batch(3, run.signal)));
    run.abort();
    expect((await pending).message).toMatch(/`slow`: gave up on a batch of 3 .* the run was stopped/);
    expect((await failure(scoreImages(slow, batch(3, run.signal)))).message).toMatch(/the run was stopped/);
    expect(asked).toBe(1);
  });

  it('refuses a batch that is none', async () => {
    const { images, prompts } = batch();
    const short = await failure(scoreImages(reward([1]), { images, prompts: prompts.slice(1) }));
    expect([short.code, short.message]).toEqual(['E_SHAPE', expect.stringMatching(/3 images but 2 prompts/)]);
    const float = ndarray(new Float32Array(images.data.length), images.shape);
    expect((await failure(scoreImages(reward([1]), { images: float, prompts }))).message).toMatch(
      /Float32Array \[3, 4/,
    );
  });

  it('takes no time-out that a timer cannot wait for, and would fire at once', async () => {
    const quick: RewardLike = { name: 'quick', score: async () => [1, 2, 3] };
    expect((await scoreImages(quick, batch(), { timeoutMs: longestTimeoutMs })).scores).toHaveLength(3);
    for (const timeoutMs of [2 ** 31, Number.POSITIVE_INFINITY, 0, Number.NaN])
      expect((await failure(scoreImages(quick, batch(), { timeoutMs }))).message).toMatch(/at most 2147483647, actual/);
  });

  it('names a BigInt, and what is too large for float32', async () => {
    expect((await failure(scoreImages(reward([1, 5n, 3]), batch()))).message).toMatch(
      /got the BigInt 5n; return a number/,
    );
    expect((await failure(scoreImages(reward([1, 1e308, 3]), batch()))).message).toMatch(
      /got 1e\+308 .* at most 3\.4e38/,
    );
  });

  it('gives each reward pictures and prompts of its own', async () => {
    const given = batch();
    await scoreImages(({ images, prompts }) => {
      images.data.fill(9);
      prompts[0] = 'mine';
      return prompts.map(() => 1);
    }, given);
    expect(given.images.data.every((x) => x === 0)).toBe(true);
    expect(given.prompts[0]).toBe('prompt 0');
  });

  it('takes details of any name', async () => {
    const details = JSON.parse('{"__proto__": [1, 2, 3], "constructor": [1, 2, 3]}');
    const { details: terms } = await scoreImages(reward({ scores: [1, 2, 3], details }), batch());
    expect(Object.keys(terms)).toEqual(['__proto__', 'constructor']);
  });
});
