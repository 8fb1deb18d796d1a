import { beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import type { Env } from '../../../envs/env.js';
import { gaussianEpsilon } from '../../../envs/federated/accountant.js';
import { DifferentialPrivacy } from '../../../envs/federated/differential-privacy.js';
import { openFederated } from '../../../envs/federated/open.js';
import {
  actionSpace,
  type FederatedAction,
  type FederatedObservation,
  federatedAction,
  parametersOf,
} from '../../../envs/federated/spaces.js';
import { SumsOnly } from '../../../envs/federated/sums-only.js';
import { checkEnv } from '../../../testing/index.js';
import { leastOptions, tiny } from './tiny.js';

beforeAll(async () => void (await useBackend()));

type Federation = Env<FederatedObservation, FederatedAction>;

/** FedAvg for some steps. */
async function steps(env: Federation, count: number, seed = 1) {
  let { observation } = await env.reset({ seed });
  const seen = [{ observation, info: {} as Readonly<Record<string, unknown>> }];
  for (let i = 0; i < count; i++) {
    const action = federatedAction(observation, { clientWeights: observation.numExamples.data });
    const result = await env.step(action);
    observation = result.observation;
    seen.push(result);
  }
  return seen;
}

describe('gaussianEpsilon', () => {
  // dp-accounting (the accountant of TensorFlow Privacy) at the orders of Opacus:
  // RdpAccountant([1 + x / 10 for x in range(1, 100)] + list(range(12, 64))).compose(GaussianDpEvent(σ), T).get_epsilon(δ)
  it.each([
    [1, 1, 1e-5, 4.728507067217623],
    [1.1, 100, 1e-5, 83.09977949943618],
    [4, 16, 1e-3, 3.5365620688888635],
    [Math.SQRT2, 16, 1e-3, 13.29327912861124],
    [0.7, 3, 1e-2, 9.293974119336117],
  ])('σ %d, %d times, δ %d: %d', (noise, times, delta, epsilon) => {
    expect(gaussianEpsilon(noise, times, delta)).toBeCloseTo(epsilon, 10);
  });

  it('is 0 where nothing is sent', () => {
    expect(gaussianEpsilon(1, 0, 1e-5)).toBe(0);
  });
});

const privacy = { clip: 0.5, prototypeClip: 0.2, noiseMultiplier: 1, delta: 1e-3 };

describe('DifferentialPrivacy', () => {
  it('keeps the contract', async () => {
    const findings = await checkEnv(() => new DifferentialPrivacy(tiny(leastOptions), privacy), {
      steps: 4,
      maxSteps: 4,
    });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('clips what clients send to the length that is said, and hides their examples', async () => {
    // With next to no noise what is left is the clipping.
    const quiet = new DifferentialPrivacy(tiny(), { ...privacy, clip: 0.01, noiseMultiplier: 1e-9 });
    const { observation } = (await steps(quiet, 1))[1]!;
    for (let m = 0; m < 4; m++) {
      const update = parametersOf(observation, m).map((value, i) => value - observation.globalParameters.data[i]!);
      expect(Math.hypot(...update)).toBeCloseTo(0.01, 5);
      expect(observation.updateNorm.data[m]).toBeCloseTo(0.01, 5);
      expect(Math.hypot(...observation.prototypes.data.subarray(m * 18, (m + 1) * 18))).toBeLessThanOrEqual(0.2001);
    }
    expect([...observation.numExamples.data, ...observation.trainLoss.data]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
    expect([...observation.counts.data]).toEqual(new Array(12).fill(1));
  });

  it('adds noise of the deviation that is said, and makes the next model of what was sent', async () => {
    const plain = (await steps(tiny(), 1))[1]!.observation;
    const wide = { ...privacy, clip: 1000, noiseMultiplier: 2e-4 };
    const [, first, second] = await steps(new DifferentialPrivacy(tiny(), wide), 2);
    const noise = Array.from({ length: 4 }, (_, m) =>
      Array.from(parametersOf(first!.observation, m), (value, i) => value - parametersOf(plain, m)[i]!),
    ).flat();
    // 4 clients of thousands of weights: the deviation is known to a per cent or so.
    const deviation = Math.sqrt(noise.reduce((sum, value) => sum + value * value, 0) / noise.length);
    expect(deviation / 0.2).toBeGreaterThan(0.97);
    expect(deviation / 0.2).toBeLessThan(1.03);
    const mean = parametersOf(first!.observation, 0).map(
      (_, i) => [0, 1, 2, 3].reduce((sum, m) => sum + parametersOf(first!.observation, m)[i]!, 0) / 4,
    );
    second!.observation.globalParameters.data.forEach((value, i) => {
      expect(value).toBeCloseTo(mean[i]!, 4);
    });
    expect([...second!.observation.lastWeights.data]).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(second!.info.epsilon).toBeCloseTo(gaussianEpsilon(2e-4 / Math.SQRT2, 2, 1e-3), 6);
  });

  it('goes on after a restore with the same bits', async () => {
    const env = new DifferentialPrivacy(tiny(), privacy);
    const before = await steps(env, 2);
    const other = new DifferentialPrivacy(tiny(), privacy);
    const { observation } = await other.restore!(await env.snapshot!());
    expect(observation.parameters.data).toEqual(before[2]!.observation.parameters.data);
    const action = federatedAction(observation, { clientWeights: [1, 1, 1, 1] });
    const [a, b] = [await env.step(action), await other.step(action)];
    expect(b.observation.parameters.data).toEqual(a.observation.parameters.data);
    expect(b.info.epsilon).toBe(a.info.epsilon);
  });

  it('refuses an environment that does not show the weights, which would be averaged as they are', async () => {
    const blind = new DifferentialPrivacy(tiny({ showParameters: false }), privacy);
    await expect(steps(blind, 1)).rejects.toThrow(/showParameters/);
  });
});

describe('SumsOnly', () => {
  it('keeps the contract', async () => {
    const findings = await checkEnv(() => new SumsOnly(tiny(leastOptions)), { steps: 4, maxSteps: 4 });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('shows the clients as one, by which federated averaging comes to the same model', async () => {
    const all = await steps(tiny(), 2);
    const masked = await steps(new SumsOnly(tiny()), 2);
    const [one, many] = [masked[1]!.observation, all[1]!.observation];
    expect([...one.numExamples.data]).toEqual([36]);
    const sums = [0, 1, 2].map((k) => [0, 1, 2, 3].reduce((sum, m) => sum + many.counts.data[m * 3 + k]!, 0));
    expect([...one.counts.data]).toEqual(sums);
    const first = [0, 1, 2, 3].reduce((sum, m) => sum + many.counts.data[m * 3]! * many.prototypes.data[m * 18]!, 0);
    expect(one.prototypes.data[0]).toBeCloseTo(first / sums[0]!, 6);
    expect(one.trainLoss.data[0]).toBeCloseTo(
      [12, 12, 6, 6].reduce((sum, n, m) => sum + (n / 36) * many.trainLoss.data[m]!, 0),
      6,
    );
    expect(masked[2]!.observation.globalParameters.data).toEqual(all[2]!.observation.globalParameters.data);
    expect(masked[2]!.info.meanAccuracy).toBe(all[2]!.info.meanAccuracy);
  });

  it('sends prototypes to all, and refuses actions on single clients', async () => {
    const env = new SumsOnly(tiny());
    const { observation } = await env.reset({ seed: 1 });
    const vector = Float32Array.of(1, 2, 3, 4, 5, 6);
    const { info } = await env.step(federatedAction(observation, { clusters: [[vector], [], [vector]] }));
    expect(info.clusters).toEqual([1, 0, 1]);
    const of4 = actionSpace({ clients: 4, classes: 3, features: 6, parameters: 0 }).sample();
    expect(() => env.step(of4)).toThrow(/of a single client/);
  });
});

describe('openFederated', () => {
  it('refuses privacy without a clip', async () => {
    await expect(openFederated({ privacy: { clip: 0 } })).rejects.toThrow(/privacy\.clip: must be more than 0/);
  });
});
