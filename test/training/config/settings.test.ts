import { describe, expect, it } from 'vitest';
import { defineAgent } from '../../../agents/define.js';
import { listAgents } from '../../../agents/registry.js';
import { shown } from '../../../cli/flags.js';
import { listEnvironments } from '../../../envs/registry.js';
import { parseConfig, parseYaml } from '../../../training/config/index.js';

const all = listAgents().flatMap(({ name, settings = {} }) => Object.keys(settings).map((env) => [name, env] as const));

it.each(all)('the settings of %s for %s are options that there are, for an environment that there is', (agent, env) => {
  expect(listEnvironments().map(({ name }) => name)).toContain(env);
  const config = parseConfig({ env, agent });
  const { totalSteps, numEnvs } = config as unknown as { totalSteps: number; numEnvs: number };
  const { steps } = config.agent.collect as { steps: number };
  // Whole rollouts: what is said is what is done.
  expect(config.epochs).toBe(totalSteps / (steps * numEnvs));
});

it('what `list settings` shows of a value is what a flag takes', () => {
  for (const { settings = {} } of listAgents())
    for (const { agent = {}, ...own } of Object.values(settings))
      for (const value of [...Object.values(own), ...Object.values(agent)])
        expect(parseYaml(shown(value), 'a flag')).toEqual(value);
});

describe('settings for an environment', () => {
  it('take the place of defaults, and are recorded', () => {
    const config = parseConfig({ env: 'CartPole-v1' });
    expect(config).toMatchObject({ numEnvs: 8, totalSteps: 99_840, epochs: 390 });
    // rl-baselines3-zoo, hyperparams/ppo.yml, CartPole-v1: n_steps 32, gamma 0.98, gae_lambda 0.8, n_epochs 20
    expect(config.agent).toMatchObject({ collect: { steps: 32 }, gamma: 0.98, gaeLambda: 0.8, innerEpochs: 20 });
  });

  it('are those of the agent that is named', () => {
    expect(parseConfig({ env: 'CartPole-v1', agent: 'reinforce' }).agent.gamma).toBe(0.99);
  });

  it('give way to what is said', () => {
    const config = parseConfig({
      ...{ env: 'CartPole-v1', numEnvs: 2, agent: { gamma: 0.5, learningRate: 0.1 } },
      ...{ evaluation: { samples: 3 }, policy: { hidden: [8] } },
    });
    expect(config).toMatchObject({ numEnvs: 2, policy: { hidden: [8] }, evaluation: { samples: 3 } });
    expect(config.agent).toMatchObject({ gamma: 0.5, gaeLambda: 0.8, learningRate: 0.1 });
  });

  it('leave out their wrappers for wrappers that are said, none too', () => {
    expect(parseConfig({ env: 'MountainCarContinuous-v0' }).wrappers).toEqual([
      'normalizeObservation',
      'normalizeReward',
    ]);
    expect(parseConfig({ env: 'MountainCarContinuous-v0', wrappers: [] }).wrappers).toEqual([]);
  });

  it('leave the length of the run to who says epochs, or rollouts of whole episodes', () => {
    expect(parseConfig({ env: 'CartPole-v1', epochs: 7 }).epochs).toBe(7);
    expect(parseConfig({ env: 'CartPole-v1', agent: { collect: { episodes: 4 } } })).not.toHaveProperty('totalSteps');
    expect(parseConfig({ env: 'CartPole-v1', totalSteps: 512 }).epochs).toBe(2);
  });

  it('are none for other environments', () => {
    expect(parseConfig({ env: 'Bandit-v0' }).agent.gamma).toBe(0.99);
  });

  it('give a complete configuration again as it is', () => {
    const config = parseConfig({ env: 'Pendulum-v1', seed: 3 });
    expect(parseConfig(config)).toEqual(config);
  });

  it('may be those of an agent of the user', () => {
    const settings = { 'Bandit-v0': { numEnvs: 3, epochs: 2 } };
    const agent = defineAgent({ name: 'mine', settings, make: () => Promise.reject(new Error('is not made here')) });
    expect(parseConfig({ env: 'Bandit-v0' }, 'test', { agent: agent as never })).toMatchObject({
      numEnvs: 3,
      epochs: 2,
    });
  });
});
