import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Env } from '../../envs/env.js';
import { domainsOf } from '../../envs/federated/allocations.js';
import {
  aroundOptions,
  type FederatedConfig,
  federatedOptions,
  type OpenFederatedOptions,
} from '../../envs/federated/options.js';
import { SyncVectorEnv } from '../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { OrderEnforcing } from '../../envs/wrappers/order-enforcing.js';
import type { RunConfig } from '../config/run-config.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { rivalOption, rivalProblems } from './rival.js';

/** The options of this family, validated. */
type FederatedRunConfig = RunConfig & {
  readonly rival?: string | undefined;
  readonly federated: Omit<FederatedConfig, 'workers'> & Pick<OpenFederatedOptions, 'masked' | 'privacy'>;
  readonly knobs: boolean;
  readonly workers: FederatedConfig['workers'];
};

/** Federated learning: a run of a strategy is one episode, and an epoch of it is a step, that is to say a round. */
export const federated: Family = {
  name: 'federated',
  title: 'FederatedPrototypes-v0',
  owns: (env) => /^FederatedPrototypes(-v\d+)?$/.test(env),
  policyKind: 'network',
  options: {
    federated: federatedOptions
      .omit({ workers: true })
      .extend(aroundOptions)
      .prefault({})
      .describe('clients, their pictures and their training'),
    knobs: z
      .boolean()
      .default(false)
      .describe(
        'true: actions are seven knobs of federated prototype learning, for agents with a network, such as ppo',
      ),
    workers: federatedOptions.shape.workers,
    ...rivalOption,
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
      const whom = typeof clients === 'string' ? `the clients of **${clients}**` : 'its clients';
      return `has ${whom} train one model together in **${rounds} rounds**`;
    },
    groups: [
      {
        prefix: 'federated/accuracy/',
        title: 'Accuracy by domain',
        unit: 'share of test pictures',
        about:
          'Of the model that the server made at each step, on pictures that no client has. The first step has the model that nobody has trained.',
      },
      {
        prefix: 'federated/distance/',
        title: "Distance to each domain's prototypes",
        unit: 'in mean lengths of prototypes',
        about:
          'From the global prototype of a class, the mean over clients, and from the unbiased one, the mean over clusters, to the mean prototype of each domain; mean over classes.',
      },
      {
        prefix: 'federated/movement/',
        title: 'Movement of prototypes from round to round',
        unit: 'in mean lengths of prototypes',
        about: 'Of the global prototypes and of the unbiased ones; mean over classes.',
      },
      {
        prefix: 'term/',
        title: 'At the end of an episode',
        unit: 'share of test pictures',
        about: 'Accuracies on the domains, their mean and the lowest, of the last three rounds.',
      },
    ],
  },
  check: (given) => {
    const { numEnvs, knobs, rival } = given as FederatedRunConfig;
    const problems = rivalProblems(given);
    if (numEnvs !== 1 && !knobs)
      problems.push(`numEnvs: must be 1 without knobs, because a run is one episode, actual value ${numEnvs}.`);
    if (rival !== undefined && knobs)
      problems.push('rival: compares strategies, and with knobs an agent learns; leave one of the two out.');
    return problems;
  },
  inputs: async (config) => {
    const { clients, folders } = (config as FederatedRunConfig).federated;
    const { filesOf } = await import('../../envs/data/domains.js');
    const files = await Promise.all(domainsOf(clients).map((domain) => filesOf(domain, folders[domain])));
    return Object.fromEntries(files.flat().map((path) => [`the file ${path}`, path]));
  },
  report: async (run) => (await import('./federated-report.js')).federatedReport(run),
  compose: async (given: RunConfig, options: ComposeOptions): Promise<Composition> => {
    const config = given as FederatedRunConfig;
    if (options.env !== undefined || options.reward !== undefined || options.prompts !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} brings its own reward and has no prompts; leave them out, and give an environment of your own another name by \`env\`.`,
      );
    const [{ openFederated }, { FederatedKnobs }, { makeAgent }, { networkPolicy }, { byRounds }] = await Promise.all([
      import('../../envs/federated/open.js'),
      import('../../envs/federated/knobs.js'),
      import('../../agents/registry.js'),
      import('../../agents/policies/index.js'),
      import('./federated-rounds.js'),
    ]);
    const closing: (() => unknown)[] = [];
    const close = async () => {
      for (const end of closing.splice(0).reverse()) await end();
    };
    try {
      const open = async () => {
        const envs: Env<unknown, unknown>[] = [];
        while (envs.length < config.numEnvs) {
          const env = await openFederated({ ...config.federated, workers: config.workers });
          closing.push(() => env.close?.());
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
      if (config.knobs) return { agent, envs: [env], evaluationEnvs, close };
      const { agent: strategy, callback } = byRounds(agent);
      return { agent: strategy, envs: [env], evaluationEnvs, callbacks: [callback], close };
    } catch (error) {
      await close();
      throw error;
    }
  },
};
