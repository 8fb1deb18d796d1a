import * as z from 'zod';
import type { NetworkPolicy } from '../../agents/policies/network-policy.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import { configError } from '../../core/schema.js';
import type { Env } from '../../envs/env.js';
import { SyncVectorEnv } from '../../envs/sync-vector-env.js';
import { Groups } from '../../envs/wrappers/groups.js';
import { TimeLimit } from '../../envs/wrappers/time-limit.js';
import type { RunConfig } from '../config/run-config.js';
import {
  type AnyVectorEnv,
  type NamedNormalization,
  parseWrappers,
  WrapperStack,
  withStatistics,
  wrappersOption,
} from '../wrappers/index.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { groupProblems, groupSizeOf } from './groups.js';
import { policyOption } from './policy-option.js';

const options = {
  envOptions: z
    .record(z.string(), z.json())
    .default({})
    .describe('options of the environment; `list environments` says which it has'),
  totalSteps: z
    .int()
    .min(1)
    .optional()
    .describe('how long the training is in steps of all environments, instead of epochs; rounded up to whole rollouts'),
  maxEpisodeSteps: z
    .int()
    .min(1)
    .nullable()
    .optional()
    .describe("the steps after which an episode is cut, null for no limit; default: the environment's own limit"),
  wrappers: wrappersOption,
  policy: policyOption.prefault({}).describe('the network'),
};

/** The options of this family, validated. */
type GymConfig = RunConfig & z.output<z.ZodObject<typeof options>>;

/** Environments with spaces that a small network suits: classic control, and any of a user's own. */
export const gym: Family = {
  name: 'gym',
  title: 'Environments with a small network',
  owns: () => true,
  policyKind: 'network',
  options,
  epochsOf: (config) => {
    const { totalSteps, numEnvs, agent } = config as GymConfig;
    if (totalSteps === undefined) return undefined;
    const { steps } = (agent.collect ?? {}) as { steps?: number };
    return steps === undefined
      ? `totalSteps: how many steps make a rollout of the agent \`${agent.name}\` is not known before; give epochs, or agent.collect: {steps: n} where the agent has that option.`
      : Math.ceil(totalSteps / (steps * numEnvs));
  },
  check: (given) => {
    const config = given as GymConfig;
    const problems = [...parseWrappers(config.wrappers).problems];
    const groupSize = groupSizeOf(config);
    if (groupSize !== undefined && config.numEnvs % groupSize !== 0)
      problems.push(
        `numEnvs: must be a multiple of agent.groupSize (${groupSize}), because the environments of a group begin alike, actual value ${config.numEnvs}.`,
      );
    return [...problems, ...groupProblems(config)];
  },
  defaults: { numEnvs: 8, evaluation: { samples: 20, explore: false } },
  words: {
    episodes: 'episodes',
    fixed: 'fixed episodes',
    pairs: 'The same episode before and after training.',
    headline: (config) => `learns **${config.env}**`,
  },
  compose: async (given: RunConfig, options: ComposeOptions): Promise<Composition> => {
    const config = given as GymConfig;
    if (options.reward !== undefined || options.prompts !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: ${config.env} brings its own reward and has no prompts; leave them out.`,
      );
    const [{ makeAgent }, { networkPolicy }] = await Promise.all([
      import('../../agents/registry.js'),
      import('../../agents/policies/index.js'),
    ]);
    const random = new Random(config.seed);
    const closing: (() => unknown)[] = [];
    const close = async () => {
      for (const end of closing.splice(0)) await end();
    };
    try {
      const parsed = parseWrappers(config.wrappers);
      if (!('steps' in parsed)) throw configError('compose', parsed.problems);
      const open = async (numEnvs: number, wrappers: WrapperStack, groupSize?: number) => {
        let env = await makeEnv(config, options, numEnvs);
        closing.push(() => env.close?.());
        if (groupSize !== undefined) env = inGroups(env, groupSize);
        env = await wrappers.around(env);
        return env;
      };
      const wrappers = await WrapperStack.of(parsed.steps);
      const env = await open(config.numEnvs, wrappers, groupSizeOf(config));
      const evaluationEnv = await open(
        Math.min(config.numEnvs, Math.max(1, config.evaluation.samples)),
        await WrapperStack.of(parsed.steps, wrappers),
      );
      const { name, ...agentOptions } = config.agent;
      let policy: NetworkPolicy<unknown, unknown> | undefined;
      const made = await makeAgent<unknown, unknown>(options.agent ?? name, {
        env,
        policy: () => {
          policy = networkPolicy(env, config.policy, random.child('policy'));
          return policy;
        },
        kind: 'network',
        options: agentOptions,
        random: random.child('agent'),
        warn: options.warn,
      });
      closing.push(() => made.dispose());
      const normalizations = [...wrappers.normalizations.values()];
      const agent = normalizations.length === 0 ? made : withStatistics(made, normalizations);
      return {
        ...{ agent, envs: [env], evaluationEnvs: [evaluationEnv], close },
        ...(policy && trained(policy, config, env, normalizations)),
      };
    } catch (error) {
      await close();
      throw error;
    }
  },
};

/** What a run says and writes of the policy that it trains. */
function trained(
  policy: NetworkPolicy<unknown, unknown>,
  config: GymConfig,
  env: AnyVectorEnv,
  normalizations: readonly NamedNormalization[],
): Pick<Composition, 'engine' | 'saveModel'> {
  return {
    engine: engineOf(policy, config),
    saveModel: async (folder) => {
      const { exportPolicy } = await import('../exported-policy.js');
      await exportPolicy(folder, { policy, config, env, normalizations });
    },
  };
}

/** Environments as members of groups. @throws GymError E_CONFIG where they are no single ones that can be restored. */
function inGroups(env: AnyVectorEnv, groupSize: number): AnyVectorEnv {
  if (!(env instanceof SyncVectorEnv))
    throw new GymError(
      'E_CONFIG',
      `compose: ${env.spec?.id ?? env.constructor.name} is natively a vector environment, whose episodes cannot be made to begin alike in groups; choose an agent without groupSize.`,
    );
  return new Groups(env.envs, groupSize);
}

/** A line on what a policy computes on. */
function engineOf({ engine }: NetworkPolicy<unknown, unknown>, { policy, agent }: GymConfig): string {
  const name = `policy of ${policy.hidden.length > 0 ? policy.hidden.join('-') : 'no'} hidden units`;
  if (engine === 'tensors') return `${name}: computes on tensors`;
  const kl = (agent.klCoefficient as number | undefined) ?? 0;
  return `${name}: computes on plain arrays with vector instructions of WebAssembly${kl > 0 ? ', learns on tensors because of klCoefficient' : ''}`;
}

async function makeEnv(config: GymConfig, { env }: ComposeOptions, numEnvs: number): Promise<AnyVectorEnv> {
  const { maxEpisodeSteps } = config;
  if (env === undefined) {
    const { makeVec } = await import('../../envs/registry.js');
    return (await makeVec(config.env, numEnvs, config.envOptions, { maxEpisodeSteps })) as AnyVectorEnv;
  }
  const first = await env(numEnvs);
  if ('numEnvs' in first) {
    if (maxEpisodeSteps !== undefined)
      throw new GymError(
        'E_CONFIG',
        `compose: the program hands in a vector environment, whose episodes maxEpisodeSteps cannot limit; limit them there.`,
      );
    return first;
  }
  const singles = [first];
  while (singles.length < numEnvs) singles.push((await env(numEnvs)) as Env<unknown, unknown>);
  return new SyncVectorEnv(
    typeof maxEpisodeSteps === 'number' ? singles.map((single) => new TimeLimit(single, maxEpisodeSteps)) : singles,
  );
}
