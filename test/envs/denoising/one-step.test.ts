import { beforeAll, expect, it } from 'vitest';
import { makeAgent } from '../../../agents/index.js';
import { OneStepDenoisingPolicy } from '../../../agents/policies/one-step.js';
import { useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { type DenoisingObservation, type DenoisingOptions, oneStepDenoising } from '../../../envs/denoising/index.js';
import { makeVec } from '../../../envs/index.js';
import { assertAgent } from '../../../testing/index.js';
import { collectRollout } from '../../../testing/rollout.js';
import { type DenoisingEnv, redness, shortChain, tinyDenoising, tinyPolicy } from '../../agents/denoising-toys.js';
import { PerPixel } from '../../agents/per-pixel.js';

beforeAll(async () => {
  await useBackend();
});

const options: DenoisingOptions = {
  ...{ timesteps: shortChain().timesteps, latentShape: [4, 4, 3], prompts: ['more', 'less'], reward: redness },
  ...{ numEnvs: 8, seed: 5 },
};
const oneStep = () => oneStepDenoising(options) as unknown as DenoisingEnv;
const oneStepPolicy = () =>
  new OneStepDenoisingPolicy({ unet: new PerPixel(new Random('pixels')), sampler: shortChain() });

const rwr = (policy: ReturnType<typeof tinyPolicy>) =>
  makeAgent<DenoisingObservation, NdArray>('rwr', {
    policy,
    options: { collect: { episodes: 16 }, passes: 2, batch: 8, learningRate: 0.01 },
    random: new Random('agent'),
  });

it('a decision is the whole chain: returns, and what is learned from them, equal those of the steps', async () => {
  const results = [];
  for (const [policy, env] of [
    [tinyPolicy(), tinyDenoising()],
    [oneStepPolicy(), oneStep()],
  ] as const) {
    const agent = await rwr(policy);
    const rollout = await collectRollout(agent, env, 3);
    const ends = rollout.steps.filter((step) => step.terminated[0] === 1);
    const learned: object[] = [];
    for (const given of [rollout, undefined]) {
      const { envSteps: _, ...metrics } = await agent.learn(given);
      learned.push(metrics);
    }
    results.push({
      steps: rollout.steps.length,
      result: { samples: ends.map((step) => step.actions), rewards: ends.map((step) => step.rewards), learned },
    });
    agent.dispose();
  }
  expect(results.map(({ steps }) => steps)).toEqual([8, 2]);
  expect(results[1]!.result).toEqual(results[0]!.result);
});

it('is made by its name, has one step, and observes the prompt', async () => {
  const { numEnvs, ...own } = options;
  const env = await makeVec('OneStepDenoising-v0', numEnvs, own);
  expect(env.horizon).toBe(1);
  const { observations } = await env.reset({ seed: 1 });
  expect(['more', 'less']).toContain(observations[0]!.prompt);
  const { terminated, rewards } = await env.step(observations.map(({ latents }) => latents));
  expect([...terminated]).toEqual(new Array(8).fill(1));
  expect(rewards.every((reward) => reward !== 0)).toBe(true);
  env.close?.();
});

it('agents on finished samples pass their checks on it', async () => {
  await assertAgent(() => rwr(oneStepPolicy()), oneStep);
});

it('no policy gradient can be made for it', async () => {
  for (const name of ['ppo', 'reinforce', 'dpok', 'grpo'])
    await expect(
      makeAgent<DenoisingObservation, NdArray>(name, {
        policy: oneStepPolicy(),
        options: { collect: { episodes: 8 } },
        random: new Random(1),
      }),
    ).rejects.toThrow(/probability of this policy's decisions is not known.*rwr/);
});
