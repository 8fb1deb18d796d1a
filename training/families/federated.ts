import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Metrics } from '../../core/types.js';
import type { Env } from '../../envs/env.js';
import { type FederatedConfig, federatedOptions } from '../../envs/federated/options.js';
import { SyncVectorEnv } from '../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { OrderEnforcing } from '../../envs/wrappers/order-enforcing.js';
import type { RunConfig } from '../config/run-config.js';
import type { ComposeOptions, Composition, Family } from './family.js';

/** The options of this family, validated. */
type FederatedRunConfig = RunConfig & {
  readonly federated: FederatedConfig;
  readonly knobs: boolean;
};

/** What a run logs of every round: the accuracies on the domains' test pictures, and the virtual clock. */
const prefix = 'federated/accuracy/';

/** Federated learning: a run of a strategy is one episode, and an epoch of it is a step, that is to say a round. */
export const federated: Family = {
  name: 'federated',
  title: 'FederatedPrototypes-v0',
  owns: (env) => /^FederatedPrototypes(-v\d+)?$/.test(env),
  policyKind: 'network',
  options: {
    federated: federatedOptions.prefault({}).describe('clients, their pictures and their training'),
    knobs: z
      .boolean()
      .default(false)
      .describe(
        'true: actions are seven knobs of federated prototype learning, for agents with a network, such as ppo',
      ),
  },
  // An evaluation would be a whole other episode before and after, and the run's own accuracies are on test pictures.
  defaults: { numEnvs: 1, evaluation: { samples: 0, explore: false } },
  epochsOf: (config) => {
    const { knobs, federated } = config as FederatedRunConfig;
    return knobs ? undefined : federated.rounds + 1;
  },
  nameOf: (config) => {
    const { clients } = (config as FederatedRunConfig).federated;
    return typeof clients === 'string' ? clients : [...new Set(clients.map(({ domain }) => domain))].join('-');
  },
  words: {
    episodes: 'runs of the server',
    fixed: 'runs with fixed seeds',
    pairs: 'The same picture before and after.',
    headline: (config) => {
      const { clients, rounds } = (config as FederatedRunConfig).federated;
      const whom = typeof clients === 'string' ? `the clients \`${clients}\`` : 'its clients';
      return `has ${whom} train one model together in **${rounds} rounds**`;
    },
    groups: [
      {
        prefix,
        title: 'Accuracy by domain',
        unit: 'share of test pictures',
        about:
          'Of the model that the server made at each step, on pictures that no client has. The first step has the model that nobody has trained.',
      },
    ],
  },
  check: (given) => {
    const { numEnvs, knobs } = given as FederatedRunConfig;
    return numEnvs === 1 || knobs
      ? []
      : [`numEnvs: must be 1 without knobs, because a run is one episode, actual value ${numEnvs}.`];
  },
  compose: async (given: RunConfig, options: ComposeOptions): Promise<Composition> => {
    const config = given as FederatedRunConfig;
    if (options.env !== undefined || options.reward !== undefined || options.prompts !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} brings its own reward and has no prompts; leave them out, and give an environment of your own another name by \`env\`.`,
      );
    const [{ FederatedPrototypes }, { FederatedKnobs }, { makeAgent }, { networkPolicy }] = await Promise.all([
      import('../../envs/federated/federated-prototypes.js'),
      import('../../envs/federated/knobs.js'),
      import('../../agents/registry.js'),
      import('../../agents/policies/index.js'),
    ]);
    const closing: (() => unknown)[] = [];
    const close = async () => {
      for (const end of closing.splice(0).reverse()) await end();
    };
    try {
      const open = async () => {
        const envs: Env<unknown, unknown>[] = [];
        while (envs.length < config.numEnvs) {
          const env = await FederatedPrototypes.create(config.federated);
          closing.push(() => env.close());
          const shown = config.knobs ? new FederatedKnobs(env) : env;
          envs.push(new OrderEnforcing(shown as Env<unknown, unknown>));
        }
        return new SyncVectorEnv(envs, { autoreset: 'disabled' }) as VectorEnv<unknown, unknown>;
      };
      const env = await open();
      const random = new Random(config.seed);
      const { name, ...agentOptions } = config.agent;
      const agent = (await makeAgent(options.agent ?? name, {
        env,
        policy: () => networkPolicy(env, { hidden: [32, 32] }, random.child('policy')),
        kind: 'network',
        options: agentOptions,
        random: random.child('agent'),
        warn: options.warn,
      })) as Agent<unknown, unknown>;
      closing.push(() => agent.dispose());
      const evaluationEnvs = config.evaluation.samples > 0 ? [await open()] : [];
      return { agent: config.knobs ? agent : byRounds(agent), envs: [env], evaluationEnvs, close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

/** A strategy as a run takes it: a rollout is one step, after which the accuracies are logged. */
function byRounds(strategy: Agent<unknown, unknown>): Agent<unknown, unknown> {
  return {
    collect: { steps: 1 },
    act: (observations, options) => strategy.act(observations, options),
    learn: async (rollout, options) => {
      const own = await strategy.learn(undefined, options);
      const info = rollout!.steps[0]!.infos[0]!;
      const metrics: Metrics = {
        'federated/meanAccuracy': info.meanAccuracy as number,
        'federated/worstAccuracy': Math.min(...Object.values(info.accuracy as Record<string, number>)),
        'federated/spread': info.spread as number,
        'federated/seconds': info.time as number,
      };
      for (const [domain, accuracy] of Object.entries(info.accuracy as Record<string, number>))
        metrics[prefix + domain] = accuracy;
      return { ...own, ...metrics };
    },
    save: (folder) => strategy.save(folder),
    restore: (folder) => strategy.restore(folder),
    dispose: () => strategy.dispose(),
  };
}
