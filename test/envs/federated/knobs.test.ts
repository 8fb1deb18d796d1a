import { beforeAll, describe, expect, it } from 'vitest';
import { makeAgent } from '../../../agents/index.js';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import {
  defaultFederatedKnobs,
  FederatedKnobs,
  federatedPrototypeRule,
  knobsOf,
} from '../../../envs/federated/knobs.js';
import { localTrainingOf } from '../../../envs/federated/spaces.js';
import { checkEnv } from '../../../testing/index.js';
import { leastOptions, tiny } from './tiny.js';

beforeAll(async () => void (await useBackend()));

/** What the server knows after one round of FedAvg. */
async function afterOneRound() {
  const env = tiny();
  const { observation } = await env.reset({ seed: 1 });
  return (await env.step(federatedPrototypeRule(observation, defaultFederatedKnobs))).observation;
}

describe('FederatedKnobs', () => {
  it('keeps the contract', async () => {
    const make = () => new FederatedKnobs(tiny(leastOptions));
    const findings = await checkEnv(make, { steps: 4, maxSteps: 4 });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('acts as the agent fpl at its default knobs', async () => {
    const observation = await afterOneRound();
    const env = { actionSpace: tiny().actionSpace } as never;
    const fpl = await makeAgent('fpl', { env, random: new Random(0) });
    const expected = (await fpl.act([observation])).actions[0] as ReturnType<typeof federatedPrototypeRule>;
    const action = federatedPrototypeRule(observation, defaultFederatedKnobs);
    for (const key of ['clusterPrototypes', 'clusterMask', 'unbiasedPrototypes', 'nextClients'] as const)
      expect(action[key]).toEqual(expected[key]);
    expect(action.aggregation).toEqual(expected.aggregation);
    Object.entries(localTrainingOf(expected.local)).forEach(([name, value]) => {
      expect(localTrainingOf(action.local)[name as 'epochs']).toBeCloseTo(value, 5);
    });
  });

  it('weights clients by examples and clusters, and goes a part of the way', async () => {
    const observation = await afterOneRound();
    const plain = { level: 1, contrastive: 1, consistency: 1, logTemperature: -1, exponent: 0, balance: 0 };
    const alike = federatedPrototypeRule(observation, knobsOf({ ...plain, serverLearningRate: 1 }));
    for (const weight of alike.aggregation[1].data) expect(weight).toBeCloseTo(0.25, 5);
    const half = federatedPrototypeRule(observation, knobsOf({ ...plain, serverLearningRate: 0.5 }));
    const { data: start } = observation.globalParameters;
    const p = start.length;
    expect(half.aggregation[0]).toBe(1);
    for (const i of [0, 100, p - 1]) {
      const mean = [0, 1, 2, 3].reduce((sum, m) => sum + observation.parameters.data[m * p + i]! / 4, 0);
      expect(half.aggregation[1].data[i]).toBeCloseTo(start[i]! + 0.5 * (mean - start[i]!), 5);
    }
  });

  it('refuses knobs outside their range', async () => {
    const env = new FederatedKnobs(tiny());
    expect(() => env.step(defaultFederatedKnobs)).toThrow(/call reset first/);
    await env.reset({ seed: 1 });
    expect(() => env.step({ data: new Float32Array(7).fill(2), shape: [7] })).toThrow(/must be of Box\(-1, 1, \(7,\)/);
  });
});
