import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import type { SourceFreeAdaptation } from '../../../envs/adaptation/adaptation.js';
import { makeAdaptation } from '../../../envs/adaptation/make.js';
import type { AdaptationOptions } from '../../../envs/adaptation/options.js';
import { oneHot } from '../../../envs/adaptation/rules.js';
import {
  type AdaptationAction,
  type AdaptationObservation,
  coefficients,
  statNames,
} from '../../../envs/adaptation/spaces.js';
import { drawDigits } from '../../../envs/data/drawn-digits.js';
import { pick } from '../../../envs/data/labelled-images.js';
import { make } from '../../../envs/registry.js';
import { withOwnCache } from './cache.js';

withOwnCache();

/** Small enough for a second: 3 updates a pass, 2 passes. */
const small: AdaptationOptions = {
  ...{ source: 'clean', target: 'invert', sourceSize: 60, targetSize: 50, probeSize: 30 },
  ...{ batchSize: 16, queueSize: 24, epochs: 2, neighbours: 5, history: 2 },
};

function action(observation: AdaptationObservation, labels: ArrayLike<number>, more: Partial<AdaptationAction> = {}) {
  const [batch, queue] = [labels.length, observation.queueIndex.data.length];
  return {
    pseudoLabels: oneHot(labels, 10),
    weights: { data: new Float32Array(batch).fill(1), shape: [batch] },
    negativeMask: { data: new Uint8Array(batch * queue).fill(1), shape: [batch, queue] },
    coefficients: coefficients(),
    ...more,
  };
}

/** Steps with the same label for all samples, and what came of it. */
async function run(env: SourceFreeAdaptation, steps: number, seed?: number) {
  let { observation, info } = await env.reset(seed === undefined ? {} : { seed });
  const results = [];
  for (let i = 0; i < steps; i++) {
    const labels = info.labels as Int32Array;
    const result = await env.step(action(observation, labels));
    ({ observation, info } = result);
    results.push(result);
  }
  return results;
}

describe('SourceFreeAdaptation', () => {
  it('is made by its id, with options that are checked', async () => {
    const env = await make('SourceFreeAdaptation-v0', small);
    const { observation } = await env.reset({ seed: 1 });
    expect(env.observationSpace.contains(observation)).toBe(true);
    expect(observation.bankFeatures.shape).toEqual([50, 64]);
    await env.close?.();
    await expect(make('SourceFreeAdaptation-v0', { ...small, learningRate: -1 })).rejects.toThrow(
      /learningRate must be a number above 0, actual value -1/,
    );
    await expect(makeAdaptation({ ...small, batchSize: 64 })).rejects.toThrow(
      /invert has 50 samples, fewer than a batch/,
    );
    await expect(makeAdaptation({ ...small, neighbours: 51 })).rejects.toThrow(/fewer than .* neighbours/);
    await expect(makeAdaptation({ ...small, target: [] })).rejects.toThrow(/target is an empty list/);
    await expect(makeAdaptation({ ...small, setting: 'continual' })).rejects.toThrow(/continual has several targets/);
    await expect(makeAdaptation({ ...small, setting: 'online', epochs: 2 })).rejects.toThrow(/online is one pass/);
    await expect(makeAdaptation({ ...small, weights: 'x' })).rejects.toThrow(/weights are for a ResNet/);
    await expect(makeAdaptation({ ...small, network: 'resnet' as never })).rejects.toThrow(
      /network must be small, resnet18, resnet50, resnet101, actual value/,
    );
    await expect(makeAdaptation({ ...small, network: 'resnet18', imageSize: 20 })).rejects.toThrow(
      /imageSize must be an integer of at least 32, actual value 20/,
    );
    const drawn = drawDigits('clean', 'train', 60, 1);
    await expect(makeAdaptation({ ...small, source: pick(drawn, [0, 1, 2]) })).rejects.toThrow(
      /no image of class 3, 4/,
    );
    const letters = { ...drawn, classes: [...'abcdefghij'] };
    await expect(makeAdaptation({ ...small, target: { train: letters, test: letters } })).rejects.toThrow(
      /has the classes a, b.*the source clean 0, 1/,
    );
  });

  it('begins empty, then shows queue, labels and history as they come', async () => {
    const env = await makeAdaptation({ ...small, epochs: 3 });
    const { observation: first } = await env.reset({ seed: 1 });
    for (const name of ['queueIndex', 'queueLabels', 'history', 'queueHistory'] as const)
      expect(first[name].data.every((v) => v === -1)).toBe(true);
    expect(env.stepsPerEpoch).toBe(3);
    const labels = Int32Array.from({ length: 16 }, (_, i) => i % 10);
    const { observation: second } = await env.step(action(first, labels));
    // The queue has room for the whole batch, in its order, with the labels that it was given.
    expect([...second.queueIndex.data.subarray(0, 16)]).toEqual([...first.index.data]);
    expect([...second.queueLabels.data.subarray(0, 16)]).toEqual([...labels]);
    expect(second.queueIndex.data[16]).toBe(-1);
    expect(second.history.data.every((v) => v === -1)).toBe(true);
    // No sample comes twice in a pass.
    expect([...second.index.data].filter((i) => first.index.data.includes(i))).toEqual([]);
    // The bank's oldest rows are now those of the batch.
    expect([...second.bankProbs.data.subarray(0, 160)]).toEqual([...first.probsWeak.data]);
    const { observation: third } = await env.step(
      action(
        second,
        labels.map((c) => 9 - c),
      ),
    );
    expect([...third.queueIndex.data.subarray(0, 16)]).toEqual([...second.index.data]);
    expect([...third.queueIndex.data.subarray(16)]).toEqual([...first.index.data.subarray(0, 8)]);
    const { observation: next } = await env.step(action(third, labels));
    // In the next pass the labels of the one before are the first of the history, and the second is still empty.
    const shown = new Map<number, number>();
    for (const [batch, given] of [
      [first, labels],
      [second, labels.map((c) => 9 - c)],
      [third, labels],
    ] as const)
      batch.index.data.forEach((index, i) => void shown.set(index, given[i]!));
    const history = (o: AdaptationObservation, slot: number) =>
      Array.from(o.index.data, (_, i) => o.history.data[2 * i + slot]);
    expect(history(next, 0)).toEqual(Array.from(next.index.data, (index) => shown.get(index) ?? -1));
    expect(history(next, 1).every((v) => v === -1)).toBe(true);
    env.close();
  });

  it('rewards at the end of a pass, and ends with the last one', async () => {
    const env = await makeAdaptation(small);
    const results = await run(env, 6, 1);
    expect(results.map(({ terminated }) => terminated)).toEqual([false, false, false, false, false, true]);
    expect(results.map(({ info }) => info.epochEnd === true)).toEqual([false, false, true, false, false, true]);
    expect(results.map(({ reward }) => reward !== 0)).toEqual([false, false, true, false, false, true]);
    await expect(env.step(action(results[0]!.observation, new Int32Array(16)))).rejects.toThrow(/no episode goes on/);
    // The rewards of an episode add up to what the score has grown by.
    const start = (await env.reset({ seed: 1 })).info.informationScore as number;
    const end = results.at(-1)!.info.informationScore as number;
    expect(results.reduce((sum, { reward }) => sum + reward, 0)).toBeCloseTo(end - start, 6);
    env.close();
    for (const [reward, total] of [
      ['accuracy', (from: number, to: number) => to - from],
      ['sparse', (_: number, to: number) => to],
    ] as const) {
      const other = await makeAdaptation({ ...small, reward });
      const from = (await other.reset({ seed: 1 })).info.perClassAccuracy as number;
      const steps = await run(other, 6, 1);
      const to = steps.at(-1)!.info.perClassAccuracy as number;
      expect(steps.reduce((sum, step) => sum + step.reward, 0)).toBeCloseTo(total(from, to), 6);
      other.close();
    }
  });

  it('says how good labels, weights and exclusions are', async () => {
    const env = await makeAdaptation({ ...small, queueSize: 16 });
    const { observation, info } = await env.reset({ seed: 2 });
    const truth = info.labels as Int32Array;
    // A quarter of the labels wrong, with half the weight.
    const labels = truth.map((c, i) => (i % 4 === 0 ? (c + 1) % 10 : c));
    const weights = { data: Float32Array.from(labels, (_, i) => (i % 4 === 0 ? 0.5 : 1)), shape: [16] };
    const first = await env.step(action(observation, labels, { weights }));
    expect(first.info).toMatchObject({ pseudoLabelAccuracy: 0.75, weightRight: 1, weightWrong: 0.5 });
    // The queue holds the 16 of the first batch: keep for each anchor only those of its own class, all false negatives.
    const own = first.info.labels as Int32Array;
    const mask = new Uint8Array(256).map((_, k) => Number(own[Math.floor(k / 16)] === truth[k % 16]));
    const second = await env.step(action(first.observation, own, { negativeMask: { data: mask, shape: [16, 16] } }));
    const pairs = mask.reduce((a, b) => a + b, 0);
    expect(second.info.falseNegatives).toBe(1);
    expect(second.info.wrongExclusions).toBe(1);
    expect(second.info.excludedNegatives).toBeCloseTo((256 - pairs) / 256, 6);
    env.close();
  });

  it('is the same for the same seed, bit for bit, and goes on from a snapshot as if nothing had been', async () => {
    const env = await makeAdaptation(small);
    const whole = await run(env, 6, 3);
    expect((await run(env, 6, 3)).map(({ reward }) => reward)).toEqual(whole.map(({ reward }) => reward));
    await run(env, 4, 3);
    const snapshot = await env.snapshot();
    const other = await makeAdaptation(small);
    let { observation, info } = await other.restore(snapshot);
    expect(observation).toEqual(whole[3]!.observation);
    for (const expected of whole.slice(4)) {
      const result = await other.step(action(observation, info.labels as Int32Array));
      expect(result).toEqual(expected);
      ({ observation, info } = result);
    }
    await expect(other.restore({ of: 'CartPole', random: 1, episode: 1 })).rejects.toThrow(
      /the snapshot is of 'CartPole'/,
    );
    env.close();
    other.close();
    await expect(env.reset()).rejects.toThrow(/it is closed/);
  });

  it('turns from one target to the next with the network as it is', async () => {
    const env = await makeAdaptation({ ...small, target: ['invert', 'lowres'], epochs: 1 });
    const results = await run(env, 6, 1);
    expect(results.map(({ info }) => info.domain)).toEqual([...Array(3).fill('invert'), ...Array(3).fill('lowres')]);
    expect(results.at(-1)!.terminated).toBe(true);
    // With the second target history and queue begin anew.
    expect(results[2]!.observation.queueIndex.data.every((v) => v === -1)).toBe(true);
    env.close();
  });

  it('ends on collapse', async () => {
    const env = await makeAdaptation({ ...small, learningRate: 0.5, epochs: 8 });
    let { observation } = await env.reset({ seed: 1 });
    const more = { coefficients: coefficients({ contrast: 0, diversity: 0 }) };
    for (let i = 0; i < 24; i++) {
      const result = await env.step(action(observation, new Int32Array(16).fill(7), more));
      observation = result.observation;
      if (!result.terminated) continue;
      expect(result.info.collapsed).toBe(true);
      expect(i).toBeLessThan(23);
      env.close();
      return;
    }
    throw new Error('it did not end');
  });

  it('refuses actions that are none of its space, with the part that is wrong', async () => {
    const env = await makeAdaptation(small);
    const { observation } = await env.reset({ seed: 1 });
    const good = action(observation, new Int32Array(16));
    const refused = async (change: Partial<Record<keyof AdaptationAction, NdArray>>, error: RegExp) =>
      await expect(env.step({ ...good, ...change } as AdaptationAction)).rejects.toThrow(error);
    await refused({ weights: { data: new Float32Array(16).fill(Number.NaN), shape: [16] } }, /`weights` of the action/);
    await refused({ weights: { data: new Float32Array(15), shape: [15] } }, /`weights` of the action/);
    await refused({ pseudoLabels: { data: new Float32Array(160).fill(2), shape: [16, 10] } }, /`pseudoLabels`/);
    await refused({ negativeMask: { data: new Uint8Array(16), shape: [16, 1] } }, /`negativeMask`/);
    expect(() => coefficients({ diversty: 1 } as never)).toThrow(/Did you mean `diversity`/);
    // A sample without a label counts nothing, whatever its weight is.
    const none = { pseudoLabels: { data: new Float32Array(160), shape: [16, 10] } };
    const { observation: after } = await env.step({ ...good, ...none });
    expect(after.stats.data[statNames.indexOf('classificationLoss')]).toBe(0);
    env.close();
  });

  it('frees what it makes', async () => {
    const before = tf.memory().numTensors;
    const env = await makeAdaptation(small);
    await run(env, 3, 1);
    const held = tf.memory().numTensors;
    await run(env, 6, 1);
    expect(tf.memory().numTensors).toBe(held);
    env.close();
    expect(tf.memory().numTensors).toBe(before);
  });
});
