import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Agent,
  DenoisingPolicy,
  makeAgent,
  networkPolicy,
  type PolicyGradient,
  type Rollout,
} from '../../agents/index.js';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random, type RandomState } from '../../core/random.js';
import { DDIMScheduler } from '../../diffusion/index.js';
import { Denoising, type DenoisingObservation } from '../../envs/denoising/index.js';
import { Bandit, CartPole, make, SyncVectorEnv } from '../../envs/index.js';
import { type AgentMaker, agentChecks, assertAgent, checkAgent, describeFindings } from '../../testing/index.js';
import { PerPixel } from '../agents/per-pixel.js';

beforeAll(async () => {
  await useBackend();
});

const seed = (name: string) => new Random(1).child(name);

describe('every agent of the project', () => {
  it.each(['ppo', 'reinforce', 'a2c'])('%s passes, in each mode of autoreset', { timeout: 60_000 }, async (name) => {
    for (const autoreset of ['next-step', 'same-step', 'disabled'] as const) {
      const findings = await checkAgent(
        ({ observationSpace, actionSpace }) =>
          makeAgent(name, {
            policy: networkPolicy({ observationSpace, actionSpace }, { hidden: [8] }, seed('p')),
            options: {
              learningRate: 0.01,
              ...(name === 'reinforce' ? { collect: { episodes: 2 } } : { collect: { steps: 12 } }),
            },
            random: seed('a'),
          }),
        () => new SyncVectorEnv([new CartPole(), new CartPole()], { autoreset }),
      );
      expect(describeFindings(findings)).toBe('nothing found');
    }
  });

  it.each(['ppo', 'reinforce'])('%s passes on Denoising-v0', async (name) => {
    const sampler = DDIMScheduler.fromConfig({ timestep_spacing: 'trailing', clip_sample: false });
    sampler.setTimesteps(4);
    const findings = await checkAgent<DenoisingObservation, NdArray>(
      () =>
        makeAgent(name, {
          policy: new DenoisingPolicy({ unet: new PerPixel(seed('p')), sampler }),
          options: { learningRate: 0.01, collect: { episodes: 8 }, klCoefficient: 0.01 },
          random: seed('a'),
        }),
      () =>
        new Denoising({
          ...{ timesteps: sampler.timesteps, latentShape: [4, 4, 3], prompts: ['a', 'b'], numEnvs: 4 },
          reward: ({ images, prompts }) => prompts.map((_, i) => images.data[i * 48]!),
        }),
    );
    expect(describeFindings(findings)).toBe('nothing found');
  });

  it('with whole episodes, a continuous policy and a critic', async () => {
    const findings = await checkAgent(
      ({ observationSpace, actionSpace }) =>
        makeAgent('ppo', {
          policy: networkPolicy({ observationSpace, actionSpace }, { hidden: [8] }, seed('p')),
          options: { collect: { episodes: 2 }, innerEpochs: 2 },
          random: seed('a'),
        }),
      () => make('Pendulum-v1', {}, { maxEpisodeSteps: 8 }),
    );
    expect(describeFindings(findings)).toBe('nothing found');
  });
});

type Vector = NdArray<Float32Array>;

/** Counts which arm paid, with a tensor where weights would be: nothing is wrong with it. */
class Arms implements Agent<Vector, number> {
  collect: Agent<Vector, number>['collect'] = { episodes: 6 };
  random = new Random(1);
  values = [0, 0, 0];
  weights = tf.tidy(() => tf.variable(tf.zeros([3])));

  act(observations: readonly Vector[], { explore = true, random = this.random } = {}) {
    const best = this.values.indexOf(Math.max(...this.values));
    const actions = observations.map(() => (explore && random.next() < 0.9 ? random.integer(3) : best));
    return { actions, extras: { logProb: new Float32Array(actions.length) } };
  }

  learn(rollout?: Rollout<Vector, number>): Record<string, number> {
    for (const { actions, rewards } of rollout!.steps)
      for (const [i, action] of actions.entries()) this.values[action]! += rewards[i]!;
    return { 'train/loss': this.values[0]! - this.values[2]! };
  }

  async save(folder: string) {
    await writeFile(join(folder, 'arms.json'), JSON.stringify({ values: this.values, random: this.random.state() }));
  }

  async restore(folder: string) {
    const { values, random } = JSON.parse(await readFile(join(folder, 'arms.json'), 'utf8'));
    this.values = values;
    this.random = Random.restore(random as RandomState);
  }

  dispose() {
    this.weights.dispose();
  }
}

const makeEnv = () => new Bandit();

/** One whose parts are replaced. */
function having(parts: (agent: Arms) => object): AgentMaker<Vector, number> {
  return () => {
    const agent = new Arms();
    return Object.assign(agent, parts(agent));
  };
}

let made = 0;

/** Each with just one defect: what it is, an agent that has it, who finds it, what they say. */
const defects: [string, AgentMaker<Vector, number>, string, RegExp][] = [
  [
    'cannot be made',
    () => {
      throw new Error('no weights');
    },
    'interface',
    /make: it throws; actual: no weights/,
  ],
  ['cannot be saved', having(() => ({ save: undefined })), 'interface', /save: it must be a method/],
  [
    'does not say what it collects',
    having(() => ({ collect: 64 })),
    'interface',
    /collect: it must be { steps: n }.*actual: 64/,
  ],
  [
    'gives one action for all',
    having(() => ({ act: () => ({ actions: [1] }) })),
    'act',
    /act\(\): actions: it must be a list of 2.*actual: \[1\]/,
  ],
  [
    'acts outside the space',
    having(() => ({ act: (o: Vector[]) => ({ actions: o.map(() => 3) }) })),
    'act',
    /actions\[0\]: it must be an integer from 0 to 2; actual: 3/,
  ],
  [
    'acts outside the space in its mode',
    having((agent) => {
      const act = agent.act.bind(agent);
      return {
        act: (o: Vector[], options: { explore?: boolean }) =>
          options.explore === false ? { actions: o.map(() => -1) } : act(o, options),
      };
    }),
    'act',
    /act\({ explore: false }\): actions\[0\]: .*actual: -1/,
  ],
  [
    'has too few extras',
    having((agent) => {
      const act = agent.act.bind(agent);
      return {
        act: (o: Vector[], options: object) => ({ ...act(o, options), extras: { value: new Float32Array(1) } }),
      };
    }),
    'act',
    /extras\.value: it must have 2 entries/,
  ],
  [
    'throws on an observation',
    having(() => ({
      act: () => {
        throw new Error('not this');
      },
    })),
    'act',
    /act\(\): it throws; actual: not this/,
  ],
  [
    'writes into observations',
    having((agent) => {
      const act = agent.act.bind(agent);
      return {
        act: (o: Vector[], options: object) => {
          o[0]!.data[0] = 1;
          return act(o, options);
        },
      };
    }),
    'inputs',
    /act\(\): observations\[0\]\.data\[0\]: the call changes it/,
  ],
  [
    'explores where it must not',
    having((agent) => {
      const act = agent.act.bind(agent);
      return { act: (o: Vector[], options: object) => act(o, { ...options, explore: true }) };
    }),
    'mode',
    /act\({ explore: false }\): actions\[\d\]: the second call gives another action/,
  ],
  [
    'draws from its own stream always',
    having((agent) => {
      const act = agent.act.bind(agent);
      return { act: (o: Vector[], options: object) => act(o, { ...options, random: agent.random }) };
    }),
    'evaluation',
    /act\({ random }\): actions\[\d\]: the same stream gives another action/,
  ],
  [
    'moves its own stream besides',
    having((agent) => {
      const act = agent.act.bind(agent);
      return {
        act: (o: Vector[], options: { random?: Random }) => {
          if (options.random) agent.random.next();
          return act(o, options);
        },
      };
    }),
    'evaluation',
    /acting with a stream that was handed in changes what comes after/,
  ],
  [
    'is made with another seed',
    having((agent) => {
      agent.random = new Random(made++);
      return {};
    }),
    'reproducible',
    /rollout 1: actions\[\d\]\[\d\]: a second agent of the same maker does otherwise/,
  ],
  [
    'measures otherwise',
    having(() => ({ learn: () => ({ loss: made++ }) })),
    'reproducible',
    /rollout 1: metrics\.loss: a second agent/,
  ],
  [
    'has a loss that is NaN',
    having(() => ({ learn: () => ({ 'train/loss': Number.NaN }) })),
    'learn',
    /learn\(\): train\/loss: it must be a finite number; actual: NaN/,
  ],
  [
    'returns no metrics',
    having(() => ({ learn: () => undefined })),
    'learn',
    /learn\(\): it must return metrics; actual: undefined/,
  ],
  [
    'writes into the rollout',
    having((agent) => {
      const learn = agent.learn.bind(agent);
      return {
        learn: (rollout: Rollout<Vector, number>) => {
          const metrics = learn(rollout);
          rollout.steps[0]!.rewards.fill(9);
          return metrics;
        },
      };
    }),
    'learn',
    /rollout\.steps\[0\]\.rewards\[\d\]: the call changes it/,
  ],
  [
    'never ends learning',
    having(() => ({ needsRollout: () => false, learn: () => ({}) })),
    'learn',
    /needsRollout\(\): it is false after 1000 calls/,
  ],
  [
    'saves without its stream',
    having((agent) => {
      const restore = agent.restore.bind(agent);
      return {
        restore: async (folder: string) => {
          await restore(folder);
          agent.random = new Random(2);
        },
      };
    }),
    'save',
    /a rollout: \[\d\]\[\d\]: the restored agent does otherwise/,
  ],
  [
    'saves without its values',
    having((agent) => {
      const restore = agent.restore.bind(agent);
      return {
        restore: async (folder: string) => {
          await restore(folder);
          agent.values = [0, 0, 0];
        },
      };
    }),
    'save',
    /the restored agent does otherwise/,
  ],
  [
    'cannot restore',
    having(() => ({
      restore: async () => {
        throw new Error('no file');
      },
    })),
    'save',
    /restore\(\): it throws; actual: no file/,
  ],
  [
    'leaks a tensor with each rollout',
    having((agent) => {
      const learn = agent.learn.bind(agent);
      return {
        learn: (rollout: Rollout<Vector, number>) => {
          tf.scalar(1);
          return learn(rollout);
        },
      };
    }),
    'memory',
    /the number of tensors grows with each rollout/,
  ],
  ['leaves its weights', having(() => ({ dispose: () => {} })), 'memory', /dispose\(\): tensors are left; actual: 1/],
];

type OnPolicy = PolicyGradient<Vector, number>;

/** PPO on the environment that it is given, with some of its parts replaced. */
function ppoHaving(parts: (agent: OnPolicy) => object, options: object = {}): AgentMaker<Vector, number> {
  return async (env) => {
    const agent = (await makeAgent('ppo', {
      policy: networkPolicy(env, { hidden: [8] }, seed('p')),
      options: { learningRate: 0.01, collect: { steps: 12 }, ...options },
      random: seed('a'),
    })) as OnPolicy;
    return Object.assign(agent, parts(agent));
  };
}

/** Those whose defect is in what they learn: an agent of the package with one fault put in. */
const learningDefects: [string, AgentMaker<Vector, number>, string, RegExp][] = [
  [
    'mixes up rows of a batch',
    ppoHaving((agent) => {
      const act = agent.act.bind(agent);
      return {
        act: async (o: readonly Vector[], options: object) => {
          const { actions, extras } = await act(o, options);
          const { value } = extras as { value: Float32Array };
          return { actions, extras: { ...extras, value: Float32Array.from([...value.slice(1), value[0]!]) } };
        },
      };
    }),
    'order',
    /decision \d+: it is another one where the observations come in reverse order/,
  ],
  [
    'samples from another distribution than it scores',
    ppoHaving((agent) => {
      const sample = agent.policy.sample.bind(agent.policy);
      agent.policy.sample = async (o, options) => {
        const { actions, extras } = await sample(o, options);
        return { actions, extras: { ...extras, logProb: (extras!.logProb as Float32Array).map((l) => l + 0.01) } };
      };
      return {};
    }),
    'ratio',
    /ratios of the rollout are up to 0\.010 away from 1/,
  ],
  [
    'has the wrong sign in its loss',
    ppoHaving((agent) => {
      const learn = agent.learn.bind(agent);
      return {
        learn: (rollout: Rollout<Vector, number>) =>
          learn({ ...rollout, steps: rollout.steps.map((s) => ({ ...s, rewards: s.rewards.map((r) => -r) })) }),
      };
    }),
    'reward',
    /such actions are no likelier; actual: their mean worth was 0\.\d+ and is 0/,
  ],
  [
    'does not step its value function',
    ppoHaving(() => ({}), { valueCoefficient: 0 }),
    'probes',
    /probe environment `constant`: it is not learned.*predicts/,
  ],
  [
    'does not see its observations',
    ppoHaving((agent) => {
      const { policy } = agent;
      const blind = (o: readonly Vector[]) =>
        o.map(({ data, shape }) => ({ data: new Float32Array(data.length), shape }));
      const { sample, prepare, values } = policy;
      policy.sample = (o, options) => sample.call(policy, blind(o), options);
      policy.prepare = (o, actions, extras) => prepare.call(policy, blind(o), actions, extras);
      policy.values = (o) => values!.call(policy, blind(o));
      return {};
    }),
    'probes',
    /probe environment `observation`: it is not learned/,
  ],
  [
    'credits no reward to earlier steps',
    ppoHaving(() => ({}), { gamma: 0 }),
    'probes',
    /probe environment `discount`: it is not learned.*predicts/,
  ],
];

describe('checkAgent on what agents learn', () => {
  it.each(learningDefects)('finds that an agent %s', { timeout: 60_000 }, async (_, make, check, text) => {
    const found = await checkAgent<Vector, number>(make, () => new CartPole());
    expect(describeFindings(found)).toMatch(text);
    expect(found.some((finding) => finding.check === check && finding.severity === 'error')).toBe(true);
  });
});

describe('checkAgent', () => {
  it('finds nothing where nothing is wrong', async () => {
    expect(describeFindings(await checkAgent(() => new Arms(), makeEnv))).toBe('nothing found');
    const rule = { collect: 'nothing', learn: () => ({}) };
    expect(
      describeFindings(
        await checkAgent(
          having(() => rule),
          makeEnv,
        ),
      ),
    ).toBe('nothing found');
  });

  it.each(defects)('finds that an agent %s', async (_, make, check, text) => {
    const findings = await checkAgent(make, makeEnv);
    const found = findings.filter((finding) => finding.check === check && text.test(describeFindings([finding])));
    expect(describeFindings(found.length > 0 ? found : findings)).toMatch(text);
    expect(found[0]!.severity).toBe('error');
  });

  it('has a defect for each of its checks', () => {
    expect(new Set([...defects, ...learningDefects].map(([, , check]) => check))).toEqual(
      new Set(agentChecks.map(({ name }) => name)),
    );
  });

  it('throws all that it found, in assertAgent', async () => {
    await expect(assertAgent(() => new Arms(), makeEnv)).resolves.toBeUndefined();
    await expect(
      assertAgent(
        having(() => ({ learn: () => undefined })),
        makeEnv,
      ),
    ).rejects.toThrow(/checkAgent: 1 finding\nerror \[learn\]/);
  });
});
