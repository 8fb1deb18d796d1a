import { expect, it } from 'vitest';
import { adaptationAgents } from '../../../agents/adaptation/index.js';
import { makeAgent } from '../../../agents/registry.js';
import { Random } from '../../../core/random.js';
import { makeAdaptation } from '../../../envs/adaptation/make.js';
import type { AdaptationAction } from '../../../envs/adaptation/spaces.js';
import { CartPole } from '../../../envs/classic/cart-pole.js';
import { SyncVectorEnv } from '../../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../../envs/vector-env.js';
import { checkAgent, checkEnv, describeFindings } from '../../../testing/index.js';
import { withOwnCache } from './cache.js';

withOwnCache();

const makeEnv = () =>
  makeAdaptation({
    ...{ source: 'clean', target: 'invert', sourceSize: 40, targetSize: 20, probeSize: 20 },
    ...{ batchSize: 8, queueSize: 12, epochs: 2, neighbours: 5, history: 2 },
  });

it('the environment passes checkEnv', async () => {
  const errors = (await checkEnv(makeEnv, { steps: 6 })).filter(({ severity }) => severity === 'error');
  expect(describeFindings(errors)).toBe('nothing found');
});

// The oracle decides by infos, which the checker does not hand in.
it.each(
  adaptationAgents.filter(({ name }) => name !== 'oracle').map((agent) => [agent.name, agent] as const),
)('%s passes checkAgent', async (_, agent) => {
  const make = (env: VectorEnv<unknown, unknown>) => makeAgent(agent, { env, random: new Random(1) });
  const makeVector = async () =>
    new SyncVectorEnv([await makeEnv()], { autoreset: 'disabled' }) as unknown as VectorEnv<unknown, unknown>;
  // What is drawn at random depends on how many draws came before.
  const skip = agent.name === 'random' ? ['order'] : [];
  expect(describeFindings(await checkAgent(make, makeVector, { rollouts: 1, skip }))).toBe('nothing found');
});

it('the oracle takes the labels from the info, and says what is missing without it', async () => {
  const env = await makeEnv();
  const { observation, info } = await env.reset({ seed: 1 });
  const vector = new SyncVectorEnv([env]) as unknown as VectorEnv<unknown, unknown>;
  const oracle = await makeAgent('oracle', { env: vector, random: new Random(1) });
  const { actions } = await oracle.act([observation], { infos: [info] });
  const result = await env.step(actions[0] as AdaptationAction);
  expect(result.info).toMatchObject({ pseudoLabelAccuracy: 1 });
  expect(() => oracle.act([observation])).toThrow(/the info has no `labels`/);
  env.close();
});

it('the agents refuse another environment', async () => {
  const env = new SyncVectorEnv([new CartPole()]) as unknown as VectorEnv<unknown, unknown>;
  for (const agent of adaptationAgents)
    await expect(makeAgent(agent, { env, random: new Random(1) })).rejects.toThrow(
      /decides on observations of SourceFreeAdaptation-v0/,
    );
});
